;; A Redpanda transform for tests: a program that pulls records and writes each as it is, unless the
;; value begins with "!" and a letter, which makes it misbehave on that record:
;;   !d drop               !2 twice, the second to the topic "second"
;;   !l loop               !t trap        !e stderr and trap    !r recurse    !s sleep for an hour
;;   !m grow memory until refused, then trap        !x proc_exit(3)           !R return from _start
;;   !o 9 MiB of output    !p a wild pointer        !n ask for a batch too early
;;   !b write no payload, which must be refused     !u write to an unknown topic, likewise
;;   !w stderr and pass on    !g grow memory until refused, then proc_exit(2), as Go does
;;   !k count the key in keyed state, answer the count      !K count, then trap
;; Keys have one byte, values fewer than 64.
(module
  (import "redpanda_transform" "check_abi_version_2" (func $check))
  (import "redpanda_transform" "read_batch_header"
    (func $header (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "redpanda_transform" "read_next_record"
    (func $next (param i32 i32 i32 i32 i32) (result i32)))
  (import "redpanda_transform" "write_record" (func $write (param i32 i32) (result i32)))
  (import "redpanda_transform" "write_record_with_options"
    (func $write_to (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $print (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wstream_kv_v1" "get" (func $get (param i32 i32 i32 i32) (result i64)))
  (import "wstream_kv_v1" "put" (func $put (param i32 i32 i32 i32 i64) (result i32)))
  (memory (export "memory") 4)
  (data (i32.const 256) "\01\0csecond")
  (data (i32.const 272) "\01\0aother")
  (data (i32.const 288) "first line\0asecond line\0a")
  (data (i32.const 320) "\20\01\00\00\17\00\00\00")
  (data (i32.const 400) "\01\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\01\00\00\00\00\00\00\00")
  (data (i32.const 424) "\00\00\94\83\30\2d\00\00")
  (global $over (mut i32) (i32.const 0))

  (func $batch (result i32)
    (call $header (i32.const 16) (i32.const 24) (i32.const 28) (i32.const 32) (i32.const 36)
      (i32.const 40) (i32.const 48) (i32.const 56) (i32.const 64) (i32.const 68)))

  (func $must (param $answer i32) (param $wanted i32)
    (if (i32.ne (local.get $answer) (local.get $wanted)) (then (unreachable))))

  (func $recurse (param $n i64) (result i64)
    (i64.add (call $recurse (i64.add (local.get $n) (i64.const 1))) (local.get $n)))

  ;; 9 MiB as the value of a record without key.
  (func $huge
    (drop (memory.grow (i32.const 160)))
    (i32.store8 (i32.const 131072) (i32.const 1))
    (i32.store (i32.const 131073) (i32.const 0x09808080))
    (i32.store8 (i32.const 9568261) (i32.const 0))
    (call $must (call $write (i32.const 131072) (i32.const 9437190)) (i32.const 9437190)))

  ;; Counts under the key at 65537 and writes the digit as the value.
  (func $count
    (i32.store8 (i32.const 512) (i32.const 0x30))
    (drop (call $get (i32.const 65537) (i32.const 1) (i32.const 512) (i32.const 1)))
    (i32.store8 (i32.const 512) (i32.add (i32.load8_u (i32.const 512)) (i32.const 1)))
    (call $must (call $put (i32.const 65537) (i32.const 1) (i32.const 512) (i32.const 1)
      (i64.const 0)) (i32.const 0))
    (i32.store (i32.const 600) (i32.const 0x00020101))
    (i32.store8 (i32.const 602) (i32.load8_u (i32.const 512)))
    (i32.store8 (i32.const 601) (i32.const 2))
    (i32.store8 (i32.const 603) (i32.const 0))
    (call $must (call $write (i32.const 600) (i32.const 4)) (i32.const 4)))

  (func $act (param $c i32) (param $len i32) (result i32)
    (if (i32.eq (local.get $c) (i32.const 0x64)) (then (return (i32.const 1))))            ;; d
    (if (i32.eq (local.get $c) (i32.const 0x32)) (then                                     ;; 2
      (call $must (call $write (i32.const 65536) (local.get $len)) (local.get $len))
      (call $must (call $write_to (i32.const 65536) (local.get $len) (i32.const 256)
        (i32.const 8)) (local.get $len))
      (return (i32.const 1))))
    (if (i32.eq (local.get $c) (i32.const 0x6c)) (then (loop $l (br $l))))                 ;; l
    (if (i32.eq (local.get $c) (i32.const 0x74)) (then                                     ;; t
      (drop (call $write (i32.const 65536) (local.get $len))) (unreachable)))
    (if (i32.eq (local.get $c) (i32.const 0x65)) (then                                     ;; e
      (drop (call $print (i32.const 2) (i32.const 320) (i32.const 1) (i32.const 332)))
      (unreachable)))
    (if (i32.eq (local.get $c) (i32.const 0x77)) (then                                     ;; w
      (drop (call $print (i32.const 2) (i32.const 320) (i32.const 1) (i32.const 332)))
      (return (i32.const 0))))
    (if (i32.eq (local.get $c) (i32.const 0x67)) (then                                     ;; g
      (loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
      (call $exit (i32.const 2))))
    (if (i32.eq (local.get $c) (i32.const 0x6d)) (then                                     ;; m
      (loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
      (unreachable)))
    (if (i32.eq (local.get $c) (i32.const 0x72)) (then                                     ;; r
      (drop (call $recurse (i64.const 0)))))
    (if (i32.eq (local.get $c) (i32.const 0x73)) (then                                     ;; s
      (drop (call $poll (i32.const 400) (i32.const 512) (i32.const 1) (i32.const 332)))))
    (if (i32.eq (local.get $c) (i32.const 0x78)) (then (call $exit (i32.const 3))))        ;; x
    (if (i32.eq (local.get $c) (i32.const 0x52)) (then                                     ;; R
      (global.set $over (i32.const 1)) (return (i32.const 1))))
    (if (i32.eq (local.get $c) (i32.const 0x6f)) (then (call $huge) (return (i32.const 1)))) ;; o
    (if (i32.eq (local.get $c) (i32.const 0x70)) (then                                     ;; p
      (drop (call $write (i32.const -16) (i32.const 100)))))
    (if (i32.eq (local.get $c) (i32.const 0x6e)) (then (drop (call $batch))))              ;; n
    (if (i32.eq (local.get $c) (i32.const 0x62)) (then                                     ;; b
      (call $must (call $write (i32.const 288) (i32.const 10)) (i32.const -2))
      (call $must (call $write_to (i32.const 65536) (local.get $len) (i32.const 257)
        (i32.const 3)) (i32.const -2))
      (return (i32.const 1))))
    (if (i32.eq (local.get $c) (i32.const 0x75)) (then                                     ;; u
      (call $must (call $write_to (i32.const 65536) (local.get $len) (i32.const 272)
        (i32.const 7)) (i32.const -3))
      (return (i32.const 1))))
    (if (i32.eq (local.get $c) (i32.const 0x6b)) (then (call $count) (return (i32.const 1)))) ;; k
    (if (i32.eq (local.get $c) (i32.const 0x4b)) (then (call $count) (unreachable)))       ;; K
    (i32.const 0))

  (func (export "_start")
    (local $size i32) (local $left i32) (local $len i32)
    ;; Nothing is in work yet.
    (call $must (call $write (i32.const 256) (i32.const 8)) (i32.const -2))
    (call $must (call $next (i32.const 72) (i32.const 80) (i32.const 88) (i32.const 65536)
      (i32.const 0)) (i32.const -1))
    (call $check)
    (loop $batches
      (local.set $size (call $batch))
      (local.set $left (i32.load (i32.const 24)))
      (loop $records
        ;; A buffer that is too small does not take the record.
        (call $must (call $next (i32.const 72) (i32.const 80) (i32.const 88) (i32.const 65536)
          (i32.const 1)) (i32.const -2))
        (local.set $len (call $next (i32.const 72) (i32.const 80) (i32.const 88)
          (i32.const 65536) (local.get $size)))
        (if (i32.lt_s (local.get $len) (i32.const 0)) (then (unreachable)))
        (block $done
          ;; A key of one byte, the length of the value, the value.
          (if (i32.and
                (i32.eq (i32.load8_u (i32.const 65539)) (i32.const 0x21))
                (i32.gt_u (i32.load8_u (i32.const 65538)) (i32.const 3)))
            (then (br_if $done
              (call $act (i32.load8_u (i32.const 65540)) (local.get $len)))))
          (call $must (call $write (i32.const 65536) (local.get $len)) (local.get $len)))
        (if (global.get $over) (then (return)))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br_if $records (local.get $left)))
      (br $batches)))
)
