;; A transform for tests. It copies each record to its output, unless the value begins with "!" and
;; a letter, which makes it misbehave on that record:
;;   !d drop               !2 two outputs, the second to output 1, partition 7, timestamp 5
;;   !f failure code 42 "as asked"        !R refuse the whole call after fail(7, "refused")
;;   !l loop               !t trap        !T fail(3, "told") and trap     !e stderr and trap
;;   !m grow memory until refused, then trap     !M take 1 MiB for good, quietly
;;   !r recurse            !x proc_exit(3)       !a env.abort             !s sleep for an hour
;;   !w metric and log     !o 9 MiB of output    !c wrong cursor, then trap
;;   !b unknown kind       !i index out of range !P output outside memory
;;   !p a wild pointer to an import       !z integer division by zero
;; It exports a cursor at address 16. Line CURSOR and line STORE are cut out by tests to be without.
(module
  (import "wstream_v1" "fail" (func $fail (param i32 i32 i32)))
  (import "wstream_v1" "log" (func $log (param i32 i32 i32)))
  (import "wstream_v1" "metric" (func $metric (param i32 i32 i32 f64)))
  (import "env" "abort" (func $abort (param i32 i32 i32 i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 256) "told")
  (data (i32.const 264) "refused")
  (data (i32.const 272) "as asked")
  (data (i32.const 288) "first line\0asecond line\0a")
  ;; iovec: all of it
  (data (i32.const 320) "\20\01\00\00\17\00\00\00")
  ;; UTF-16 "oh no" with its length before it, and an empty file name
  (data (i32.const 340) "\0a\00\00\00o\00h\00 \00n\00o\00")
  (data (i32.const 372) "seen")
  ;; a clock subscription: monotonic, an hour
  (data (i32.const 400) "\01\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\01\00\00\00\00\00\00\00")
  (data (i32.const 424) "\00\00\94\83\30\2d\00\00")
  (global $out (mut i32) (i32.const 0))
  (global $in (mut i32) (i32.const 0))

  (func (export "wstream_abi_v1"))
  (func (export "wstream_cursor") (result i32) (i32.const 16)) ;; CURSOR

  ;; Grows memory to hold address $to; traps if refused.
  (func $reach (param $to i32)
    (local $pages i32)
    (local.set $pages (i32.sub
      (i32.add (i32.shr_u (local.get $to) (i32.const 16)) (i32.const 1)) (memory.size)))
    (if (i32.gt_s (local.get $pages) (i32.const 0))
      (then (if (i32.eq (memory.grow (local.get $pages)) (i32.const -1)) (then (unreachable))))))

  ;; The input begins at 64 KiB, the output behind it.
  (func (export "wstream_alloc") (param $len i32) (result i32)
    (call $reach (i32.add (i32.const 65536) (local.get $len)))
    (i32.const 65536))

  (func $skip (param $p i32) (result i32)
    (local $n i32)
    (local.set $n (i32.load (local.get $p)))
    (if (i32.lt_s (local.get $n) (i32.const 0)) (then (local.set $n (i32.const 0))))
    (i32.add (i32.add (local.get $p) (i32.const 4)) (local.get $n)))

  (func $recurse (param $n i64) (result i64)
    (i64.add (call $recurse (i64.add (local.get $n) (i64.const 1))) (local.get $n)))

  ;; An output entry with the record's own key, value and headers.
  (func $copy (param $i i32) (param $output i32) (param $partition i32) (param $ts i64)
    (param $from i32) (param $to i32)
    (local $n i32)
    (local.set $n (i32.sub (local.get $to) (local.get $from)))
    (call $reach (i32.add (global.get $out) (i32.add (local.get $n) (i32.const 32))))
    (i32.store (global.get $out) (local.get $i))
    (i32.store8 offset=4 (global.get $out) (i32.const 0))
    (i32.store16 offset=5 (global.get $out) (local.get $output))
    (i32.store offset=7 (global.get $out) (local.get $partition))
    (i64.store offset=11 (global.get $out) (local.get $ts))
    (memory.copy (i32.add (global.get $out) (i32.const 19)) (local.get $from) (local.get $n))
    (global.set $out (i32.add (global.get $out) (i32.add (local.get $n) (i32.const 19)))))

  ;; A failure entry.
  (func $entry_fail (param $i i32)
    (i32.store (global.get $out) (local.get $i))
    (i32.store8 offset=4 (global.get $out) (i32.const 1))
    (i32.store16 offset=5 (global.get $out) (i32.const 42))
    (i32.store offset=7 (global.get $out) (i32.const 8))
    (memory.copy (i32.add (global.get $out) (i32.const 11)) (i32.const 272) (i32.const 8))
    (global.set $out (i32.add (global.get $out) (i32.const 19))))

  ;; Nine MiB in one record.
  (func $huge (param $i i32)
    (call $reach (i32.add (global.get $out) (i32.const 9437300)))
    (i32.store (global.get $out) (local.get $i))
    (memory.fill (i32.add (global.get $out) (i32.const 4)) (i32.const 0) (i32.const 7))
    (i32.store offset=7 (global.get $out) (i32.const -1))
    (i64.store offset=11 (global.get $out) (i64.const 0x8000000000000000))
    (i32.store offset=19 (global.get $out) (i32.const -1))
    (i32.store offset=23 (global.get $out) (i32.const 9437184))
    (i32.store (i32.add (global.get $out) (i32.const 9437211)) (i32.const 0))
    (global.set $out (i32.add (global.get $out) (i32.const 9437215))))

  ;; Does what the letter asks. Answers 1 if the record is done.
  (func $act (param $c i32) (param $i i32) (param $from i32) (param $to i32) (result i32)
    (if (i32.eq (local.get $c) (i32.const 0x64)) (then (return (i32.const 1))))            ;; d
    (if (i32.eq (local.get $c) (i32.const 0x32)) (then                                     ;; 2
      (call $copy (local.get $i) (i32.const 0) (i32.const -1) (i64.const 0x8000000000000000)
        (local.get $from) (local.get $to))
      (call $copy (local.get $i) (i32.const 1) (i32.const 7) (i64.const 5)
        (local.get $from) (local.get $to))
      (return (i32.const 1))))
    (if (i32.eq (local.get $c) (i32.const 0x66)) (then                                     ;; f
      (call $entry_fail (local.get $i)) (return (i32.const 1))))
    (if (i32.eq (local.get $c) (i32.const 0x6c)) (then (loop $l (br $l))))                 ;; l
    (if (i32.eq (local.get $c) (i32.const 0x74)) (then (unreachable)))                     ;; t
    (if (i32.eq (local.get $c) (i32.const 0x54)) (then                                     ;; T
      (call $fail (i32.const 3) (i32.const 256) (i32.const 4)) (unreachable)))
    (if (i32.eq (local.get $c) (i32.const 0x65)) (then                                     ;; e
      (drop (call $write (i32.const 2) (i32.const 320) (i32.const 1) (i32.const 332)))
      (unreachable)))
    (if (i32.eq (local.get $c) (i32.const 0x6d)) (then                                     ;; m
      (loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
      (unreachable)))
    (if (i32.eq (local.get $c) (i32.const 0x4d)) (then                                     ;; M
      (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then (unreachable)))))
    (if (i32.eq (local.get $c) (i32.const 0x72)) (then                                     ;; r
      (drop (call $recurse (i64.const 0)))))
    (if (i32.eq (local.get $c) (i32.const 0x78)) (then (call $exit (i32.const 3))))        ;; x
    (if (i32.eq (local.get $c) (i32.const 0x61)) (then                                     ;; a
      (call $abort (i32.const 344) (i32.const 0) (i32.const 4) (i32.const 2))))
    (if (i32.eq (local.get $c) (i32.const 0x73)) (then                                     ;; s
      (drop (call $poll (i32.const 400) (i32.const 512) (i32.const 1) (i32.const 332)))))
    (if (i32.eq (local.get $c) (i32.const 0x77)) (then                                     ;; w
      (call $metric (i32.const 0) (i32.const 372) (i32.const 4) (f64.const 1))
      (call $log (i32.const 2) (i32.const 272) (i32.const 8))))
    (if (i32.eq (local.get $c) (i32.const 0x6f)) (then                                     ;; o
      (call $huge (local.get $i)) (return (i32.const 1))))
    (if (i32.eq (local.get $c) (i32.const 0x63)) (then                                     ;; c
      (i32.store (i32.const 16) (i32.const 1000000)) (unreachable)))
    (if (i32.eq (local.get $c) (i32.const 0x62)) (then                                     ;; b
      (i32.store (global.get $out) (local.get $i))
      (i32.store8 offset=4 (global.get $out) (i32.const 9))
      (global.set $out (i32.add (global.get $out) (i32.const 5)))
      (return (i32.const 1))))
    (if (i32.eq (local.get $c) (i32.const 0x69)) (then                                     ;; i
      (call $entry_fail (i32.const 5000)) (return (i32.const 1))))
    (if (i32.eq (local.get $c) (i32.const 0x70)) (then                                     ;; p
      (call $log (i32.const 2) (i32.const -16) (i32.const 100))))
    (if (i32.eq (local.get $c) (i32.const 0x7a)) (then                                     ;; z
      (drop (i32.div_s (i32.const 1) (i32.const 0)))))
    (i32.const 0))

  (func (export "wstream_process") (param $in i32) (param $len i32) (result i64)
    (local $p i32) (local $i i32) (local $count i32) (local $body i32) (local $value i32)
    (local $next i32) (local $n i32) (local $c i32) (local $start i32)
    (local.set $start (i32.and
      (i32.add (i32.add (local.get $in) (local.get $len)) (i32.const 65536)) (i32.const -8)))
    (global.set $out (local.get $start))
    (call $reach (i32.add (local.get $start) (i32.const 65536)))
    (local.set $p (i32.add (i32.add (local.get $in) (i32.const 2)) (i32.load16_u (local.get $in))))
    (local.set $count (i32.load offset=4 (local.get $p)))
    (local.set $p (i32.add (local.get $p) (i32.const 8)))
    (block $end (loop $records
      (br_if $end (i32.ge_u (local.get $i) (local.get $count)))
      (i32.store (i32.const 16) (local.get $i)) ;; STORE
      (local.set $body (i32.add (local.get $p) (i32.const 16)))
      (local.set $value (call $skip (local.get $body)))
      (local.set $p (call $skip (local.get $value)))
      (local.set $n (i32.load (local.get $p)))
      (local.set $p (i32.add (local.get $p) (i32.const 4)))
      (block $headers_end (loop $headers
        (br_if $headers_end (i32.eqz (local.get $n)))
        (local.set $p (call $skip (call $skip (local.get $p))))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $headers)))
      (local.set $c (i32.const 0))
      (if (i32.ge_s (i32.load (local.get $value)) (i32.const 2)) (then
        (if (i32.eq (i32.load8_u offset=4 (local.get $value)) (i32.const 0x21)) (then
          (local.set $c (i32.load8_u offset=5 (local.get $value)))))))
      (if (i32.eq (local.get $c) (i32.const 0x52)) (then                                   ;; R
        (call $fail (i32.const 7) (i32.const 264) (i32.const 7)) (return (i64.const -1))))
      (if (i32.eq (local.get $c) (i32.const 0x50)) (then                                   ;; P
        (return (i64.const 0x7fffffff00000010))))
      (if (i32.eqz (call $act (local.get $c) (local.get $i) (local.get $body) (local.get $p)))
        (then (call $copy (local.get $i) (i32.const 0) (i32.const -1)
          (i64.const 0x8000000000000000) (local.get $body) (local.get $p))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $records)))
    (i64.or
      (i64.shl (i64.extend_i32_u (local.get $start)) (i64.const 32))
      (i64.extend_i32_u (i32.sub (global.get $out) (local.get $start))))))
