;; The core module of a component for tests; the host's tests wrap it with the world's types. It
;; answers each record with itself, unless the value begins with "!" and a letter:
;;   !d drop      !f failure code 42 "as asked"     !R refuse the whole call with 7 "refused"
;;   !l loop      !t trap      !r recurse           !m grow memory until refused, then trap
;;   !c an answer with one outcome too few          !g an answer outside memory
;;   !k count the key in keyed state, answer the count       !K count, then fail
;; init answers `text`, but traps on a configuration of 3 bytes and refuses one of 4.
(module
  (import "wstream:transform/state@1.0.0" "get" (func $get (param i32 i32 i32)))
  (import "wstream:transform/state@1.0.0" "put" (func $put (param i32 i32 i32 i32 i64 i32)))
  (memory (export "memory") 2)
  (data (i32.const 16) "refused")
  (data (i32.const 32) "as asked")
  (global $top (mut i32) (i32.const 65536))

  (func $recurse (param $n i64) (result i64)
    (i64.add (call $recurse (i64.add (local.get $n) (i64.const 1))) (local.get $n)))

  (func $take (param $size i32) (result i32)
    (local $at i32) (local $pages i32)
    (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
    (global.set $top (i32.add (local.get $at) (local.get $size)))
    (local.set $pages (i32.sub
      (i32.add (i32.shr_u (global.get $top) (i32.const 16)) (i32.const 1)) (memory.size)))
    (if (i32.gt_s (local.get $pages) (i32.const 0))
      (then (if (i32.eq (memory.grow (local.get $pages)) (i32.const -1)) (then (unreachable)))))
    (local.get $at))

  (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
    (call $take (local.get $size)))

  (func (export "wstream:transform/guest@1.0.0#init") (param $at i32) (param $len i32) (result i32)
    (if (i32.eq (local.get $len) (i32.const 3)) (then (unreachable)))
    (if (i32.eq (local.get $len) (i32.const 4)) (then
      (i32.store8 (i32.const 128) (i32.const 1))
      (i32.store16 offset=4 (i32.const 128) (i32.const 7))
      (i32.store offset=8 (i32.const 128) (i32.const 16))
      (i32.store offset=12 (i32.const 128) (i32.const 7))
      (return (i32.const 128))))
    (i32.store8 (i32.const 128) (i32.const 0))
    (i32.store8 offset=4 (i32.const 128) (i32.const 0))
    (i32.const 128))

  ;; An outcome with one output, the input record's key, value and headers.
  (func $echo (param $outcome i32) (param $record i32)
    (local $output i32)
    (local.set $output (call $take (i32.const 72)))
    (memory.fill (local.get $output) (i32.const 0) (i32.const 32))
    (memory.copy (i32.add (local.get $output) (i32.const 32))
      (i32.add (local.get $record) (i32.const 16)) (i32.const 40))
    (i32.store8 (local.get $outcome) (i32.const 0))
    (i32.store offset=4 (local.get $outcome) (local.get $output))
    (i32.store offset=8 (local.get $outcome) (i32.const 1)))

  (func $fail (param $at i32) (param $code i32) (param $message i32) (param $len i32)
    (i32.store8 (local.get $at) (i32.const 1))
    (i32.store16 offset=4 (local.get $at) (local.get $code))
    (i32.store offset=8 (local.get $at) (local.get $message))
    (i32.store offset=12 (local.get $at) (local.get $len)))

  ;; Counts under the record's key; the value becomes the digit.
  (func $count (param $record i32)
    (local $key i32) (local $digit i32)
    (local.set $key (i32.load offset=24 (local.get $record)))
    (local.set $digit (call $take (i32.const 1)))
    (i32.store8 (local.get $digit) (i32.const 0x30))
    (call $get (local.get $key) (i32.const 1) (i32.const 160))
    (if (i32.load8_u (i32.const 160)) (then
      (i32.store8 (local.get $digit) (i32.load8_u (i32.load (i32.const 164))))))
    (i32.store8 (local.get $digit) (i32.add (i32.load8_u (local.get $digit)) (i32.const 1)))
    (call $put (local.get $key) (i32.const 1) (local.get $digit) (i32.const 1) (i64.const 0)
      (i32.const 176))
    (i32.store offset=40 (local.get $record) (local.get $digit))
    (i32.store offset=44 (local.get $record) (i32.const 1)))

  ;; Does what the letter asks. Answers 1 if the outcome is written.
  (func $act (param $c i32) (param $outcome i32) (param $record i32) (result i32)
    (if (i32.eq (local.get $c) (i32.const 0x64)) (then                                     ;; d
      (memory.fill (local.get $outcome) (i32.const 0) (i32.const 16))
      (return (i32.const 1))))
    (if (i32.eq (local.get $c) (i32.const 0x66)) (then                                     ;; f
      (call $fail (local.get $outcome) (i32.const 42) (i32.const 32) (i32.const 8))
      (return (i32.const 1))))
    (if (i32.eq (local.get $c) (i32.const 0x6c)) (then (loop $l (br $l))))                 ;; l
    (if (i32.eq (local.get $c) (i32.const 0x74)) (then (unreachable)))                     ;; t
    (if (i32.eq (local.get $c) (i32.const 0x72)) (then                                     ;; r
      (drop (call $recurse (i64.const 0)))))
    (if (i32.eq (local.get $c) (i32.const 0x6d)) (then                                     ;; m
      (loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
      (unreachable)))
    (if (i32.eq (local.get $c) (i32.const 0x67)) (then                                     ;; g
      (i32.store8 (local.get $outcome) (i32.const 0))
      (i32.store offset=4 (local.get $outcome) (i32.const 0x7ffffff8))
      (i32.store offset=8 (local.get $outcome) (i32.const 1))
      (return (i32.const 1))))
    (if (i32.eq (local.get $c) (i32.const 0x6b)) (then (call $count (local.get $record)))) ;; k
    (if (i32.eq (local.get $c) (i32.const 0x4b)) (then                                     ;; K
      (call $count (local.get $record))
      (call $fail (local.get $outcome) (i32.const 42) (i32.const 32) (i32.const 8))
      (return (i32.const 1))))
    (i32.const 0))

  (func (export "wstream:transform/guest@1.0.0#process")
    (param $topic i32) (param $topic_len i32) (param $partition i32)
    (param $records i32) (param $count i32) (result i32)
    (local $outcomes i32) (local $i i32) (local $record i32) (local $outcome i32)
    (local $value i32) (local $fewer i32) (local $letter i32)
    (local.set $outcomes (call $take (i32.mul (local.get $count) (i32.const 16))))
    (loop $each
      (local.set $record
        (i32.add (local.get $records) (i32.mul (local.get $i) (i32.const 56))))
      (local.set $outcome
        (i32.add (local.get $outcomes) (i32.mul (local.get $i) (i32.const 16))))
      (local.set $value (i32.load offset=40 (local.get $record)))
      (block $done
        (if (i32.and
              (i32.eq (i32.load8_u (local.get $value)) (i32.const 0x21))
              (i32.gt_u (i32.load offset=44 (local.get $record)) (i32.const 1)))
          (then
            (local.set $letter (i32.load8_u offset=1 (local.get $value)))
            (if (i32.eq (local.get $letter) (i32.const 0x52)) (then
              (call $fail (i32.const 128) (i32.const 7) (i32.const 16) (i32.const 7))
              (return (i32.const 128))))
            (if (i32.eq (local.get $letter) (i32.const 0x63)) (then
              (local.set $fewer (i32.const 1))))
            (br_if $done
              (call $act (local.get $letter) (local.get $outcome) (local.get $record)))))
        (call $echo (local.get $outcome) (local.get $record)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $each (i32.lt_u (local.get $i) (local.get $count))))
    (i32.store8 (i32.const 128) (i32.const 0))
    (i32.store offset=4 (i32.const 128) (local.get $outcomes))
    (i32.store offset=8 (i32.const 128) (i32.sub (local.get $count) (local.get $fewer)))
    (i32.const 128))

  ;; What a call took is free again.
  (func (export "cabi_post_wstream:transform/guest@1.0.0#process") (param i32)
    (global.set $top (i32.const 65536)))
)
