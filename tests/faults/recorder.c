/* Writes down what a process does to the files below WSTREAM_FAULTS_DIR, and what it says on its
 * standard output, in the order in which it happened: to be preloaded. Whoever reads
 * WSTREAM_FAULTS_TRACE can tell what a power cut would have left at any point.
 *
 * An event: op u8 | fd i32 | offset u64 | flags u32 | three times (length u32 | bytes), in the
 * machine's byte order: path, second path, data. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum { FDS_MAX = 65536, PATH_BYTES = 4096 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int trace = -1;
static char dir[PATH_BYTES];
static size_t dir_bytes;
static unsigned char known[FDS_MAX];

__attribute__((constructor)) static void begin(void) {
    const char *below = getenv("WSTREAM_FAULTS_DIR");
    const char *to = getenv("WSTREAM_FAULTS_TRACE");
    if (!below || !to) return;
    snprintf(dir, sizeof dir, "%s", below);
    dir_bytes = strlen(dir);
    trace = (int)syscall(SYS_openat, AT_FDCWD, to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (trace < 0) abort();
}

static void put(const void *from, size_t bytes) {
    const char *at = from;
    while (bytes > 0) {
        ssize_t done = syscall(SYS_write, trace, at, bytes);
        if (done <= 0) abort();
        at += done;
        bytes -= (size_t)done;
    }
}

static void event(char op, int fd, uint64_t offset, uint32_t flags, const char *path,
                  const char *second, const void *data, size_t bytes) {
    if (trace < 0) return;
    char head[17 + 2 * (4 + PATH_BYTES) + 4];
    size_t at = 0;
    head[at++] = op;
    memcpy(head + at, &fd, 4), at += 4;
    memcpy(head + at, &offset, 8), at += 8;
    memcpy(head + at, &flags, 4), at += 4;
    const char *paths[2] = {path, second};
    for (int n = 0; n < 2; n++) {
        uint32_t length = paths[n] ? (uint32_t)strlen(paths[n]) : 0;
        memcpy(head + at, &length, 4), at += 4;
        memcpy(head + at, paths[n] ? paths[n] : "", length), at += length;
    }
    uint32_t length = (uint32_t)bytes;
    memcpy(head + at, &length, 4), at += 4;
    put(head, at);
    put(data ? data : "", bytes);
}

/* The absolute path of a name, if it lies below the directory. */
static const char *below(int at, const char *name, char *out) {
    if (trace < 0) return NULL;
    if (name[0] == '/') {
        snprintf(out, PATH_BYTES, "%s", name);
    } else {
        char link[64], base[PATH_BYTES / 2];
        if (at == AT_FDCWD) {
            if (!getcwd(base, sizeof base)) return NULL;
        } else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", at);
            ssize_t bytes = readlink(link, base, sizeof base - 1);
            if (bytes < 0) return NULL;
            base[bytes] = 0;
        }
        if (snprintf(out, PATH_BYTES, "%s/%s", base, name) >= PATH_BYTES) return NULL;
    }
    int inside = !strncmp(out, dir, dir_bytes) && (out[dir_bytes] == '/' || !out[dir_bytes]);
    return inside ? out : NULL;
}

static int is_known(int fd) { return trace >= 0 && fd >= 0 && fd < FDS_MAX && known[fd]; }

static int opened(int at, const char *name, int flags, mode_t mode) {
    char path[PATH_BYTES];
    pthread_mutex_lock(&lock);
    const char *inside = below(at, name, path);
    int fd = (int)syscall(SYS_openat, at, name, flags, mode);
    if (fd >= 0 && fd < FDS_MAX) {
        known[fd] = inside != NULL;
        if (inside) {
            uint32_t how = (flags & O_TRUNC ? 1 : 0) | (flags & O_DIRECTORY ? 2 : 0);
            event('o', fd, 0, how, inside, NULL, NULL, 0);
        }
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

#define OPEN(name)                                   \
    int name(const char *path, int flags, ...) {     \
        va_list rest;                                \
        va_start(rest, flags);                       \
        mode_t mode = va_arg(rest, mode_t);          \
        va_end(rest);                                \
        return opened(AT_FDCWD, path, flags, mode);  \
    }
#define OPENAT(name)                                      \
    int name(int at, const char *path, int flags, ...) {  \
        va_list rest;                                     \
        va_start(rest, flags);                            \
        mode_t mode = va_arg(rest, mode_t);               \
        va_end(rest);                                     \
        return opened(at, path, flags, mode);             \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

static ssize_t wrote(int fd, const void *from, size_t bytes, off_t offset, int placed) {
    if (!is_known(fd) && !(fd == 1 && trace >= 0 && !placed))
        return placed ? syscall(SYS_pwrite64, fd, from, bytes, offset)
                      : syscall(SYS_write, fd, from, bytes);
    pthread_mutex_lock(&lock);
    uint64_t at = placed ? (uint64_t)offset : 0;
    if (!placed && fd != 1) at = (uint64_t)lseek(fd, 0, SEEK_CUR);
    ssize_t done = placed ? syscall(SYS_pwrite64, fd, from, bytes, offset)
                          : syscall(SYS_write, fd, from, bytes);
    int error = errno;
    if (done > 0) event(fd == 1 ? 's' : 'w', fd, at, 0, NULL, NULL, from, (size_t)done);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

ssize_t write(int fd, const void *from, size_t bytes) { return wrote(fd, from, bytes, 0, 0); }
ssize_t pwrite(int fd, const void *from, size_t bytes, off_t at) {
    return wrote(fd, from, bytes, at, 1);
}
ssize_t pwrite64(int fd, const void *from, size_t bytes, off64_t at) {
    return wrote(fd, from, bytes, at, 1);
}

static int on_fd(char op, int fd, long number, uint64_t offset) {
    pthread_mutex_lock(&lock);
    int inside = is_known(fd);
    if (op == 'c' && inside) known[fd] = 0;
    int done = (int)syscall(number, fd, offset);
    int error = errno;
    if (done == 0 && inside) event(op, fd, offset, 0, NULL, NULL, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

int fsync(int fd) { return on_fd('f', fd, SYS_fsync, 0); }
int fdatasync(int fd) { return on_fd('f', fd, SYS_fdatasync, 0); }
int ftruncate(int fd, off_t bytes) { return on_fd('t', fd, SYS_ftruncate, (uint64_t)bytes); }
int ftruncate64(int fd, off64_t bytes) { return on_fd('t', fd, SYS_ftruncate, (uint64_t)bytes); }
int close(int fd) { return on_fd('c', fd, SYS_close, 0); }

static int on_name(char op, int at, const char *name, long number, long argument, uint32_t flags) {
    char path[PATH_BYTES];
    pthread_mutex_lock(&lock);
    const char *inside = below(at, name, path);
    int done = (int)syscall(number, at, name, argument);
    int error = errno;
    if (done == 0 && inside) event(op, 0, 0, flags, inside, NULL, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

int unlink(const char *name) { return on_name('u', AT_FDCWD, name, SYS_unlinkat, 0, 0); }
int unlinkat(int at, const char *name, int flags) {
    return on_name('u', at, name, SYS_unlinkat, flags, 0);
}
int rmdir(const char *name) { return on_name('u', AT_FDCWD, name, SYS_unlinkat, AT_REMOVEDIR, 0); }
int mkdir(const char *name, mode_t mode) {
    return on_name('m', AT_FDCWD, name, SYS_mkdirat, (long)mode, 0);
}

int rename(const char *from, const char *to) {
    char a[PATH_BYTES], b[PATH_BYTES];
    pthread_mutex_lock(&lock);
    const char *source = below(AT_FDCWD, from, a), *target = below(AT_FDCWD, to, b);
    int done = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    int error = errno;
    if (done == 0 && source && target) event('r', 0, 0, 0, source, target, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

/* What copies within the kernel would not be seen: callers read and write instead. */
ssize_t copy_file_range(int a, off64_t *b, int c, off64_t *d, size_t e, unsigned f) {
    (void)a, (void)b, (void)c, (void)d, (void)e, (void)f;
    errno = ENOSYS;
    return -1;
}
ssize_t sendfile(int a, int b, off_t *c, size_t d) {
    (void)a, (void)b, (void)c, (void)d;
    errno = ENOSYS;
    return -1;
}
ssize_t sendfile64(int a, int b, off64_t *c, size_t d) {
    (void)a, (void)b, (void)c, (void)d;
    errno = ENOSYS;
    return -1;
}
