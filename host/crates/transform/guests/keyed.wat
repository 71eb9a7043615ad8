;; A transform for tests that counts each record's key in keyed state and answers the count. Keys
;; have one byte, values two or none. A value of "!f" fails the record after it has counted, "!t" traps.
;; The line STORE is cut out by tests to be without a cursor, and so is the line CURSOR.
(module
  (import "wstream_kv_v1" "get" (func $get (param i32 i32 i32 i32) (result i64)))
  (import "wstream_kv_v1" "put" (func $put (param i32 i32 i32 i32 i64) (result i32)))
  (memory (export "memory") 20)
  (data (i32.const 32) "no")
  (func (export "wstream_abi_v1"))
  (func (export "wstream_cursor") (result i32) (i32.const 16)) ;; CURSOR
  (func (export "wstream_alloc") (param i32) (result i32) (i32.const 65536))
  (func (export "wstream_process") (param $p i32) (param $len i32) (result i64)
    (local $i i32) (local $count i32) (local $out i32) (local $key i32) (local $value i32)
    (local.set $out (i32.const 1048576))
    (local.set $p (i32.add (local.get $p) (i32.add (i32.load16_u (local.get $p)) (i32.const 6))))
    (local.set $count (i32.load (local.get $p)))
    (local.set $p (i32.add (local.get $p) (i32.const 4)))
    (loop $each
      (i32.store (i32.const 16) (local.get $i)) ;; STORE
      (local.set $key (i32.add (local.get $p) (i32.const 20)))
      (local.set $value (i32.add (local.get $p) (i32.const 25)))
      (i32.store8 (i32.const 24) (i32.const 0x30))
      (drop (call $get (local.get $key) (i32.const 1) (i32.const 24) (i32.const 1)))
      (i32.store8 (i32.const 24) (i32.add (i32.load8_u (i32.const 24)) (i32.const 1)))
      (if (call $put (local.get $key) (i32.const 1) (i32.const 24) (i32.const 1) (i64.const 0))
        (then (unreachable)))
      (if (i32.eq (i32.load16_u (local.get $value)) (i32.const 0x7421)) (then (unreachable)))
      (i32.store (local.get $out) (local.get $i))
      (if (i32.eq (i32.load16_u (local.get $value)) (i32.const 0x6621))
        (then
          (i32.store8 offset=4 (local.get $out) (i32.const 1))
          (i32.store16 offset=5 (local.get $out) (i32.const 1))
          (i32.store offset=7 (local.get $out) (i32.const 2))
          (i32.store16 offset=11 (local.get $out) (i32.load16_u (i32.const 32)))
          (local.set $out (i32.add (local.get $out) (i32.const 13))))
        (else
          (i32.store8 offset=4 (local.get $out) (i32.const 0))
          (i32.store16 offset=5 (local.get $out) (i32.const 0))
          (i32.store offset=7 (local.get $out) (i32.const -1))
          (i64.store offset=11 (local.get $out) (i64.const 0x8000000000000000))
          (i32.store offset=19 (local.get $out) (i32.const -1))
          (i32.store offset=23 (local.get $out) (i32.const 1))
          (i32.store8 offset=27 (local.get $out) (i32.load8_u (i32.const 24)))
          (i32.store offset=28 (local.get $out) (i32.const 0))
          (local.set $out (i32.add (local.get $out) (i32.const 32)))))
      ;; The value, and no headers.
      (local.set $p (i32.add (i32.add (local.get $value)
        (i32.load (i32.sub (local.get $value) (i32.const 4)))) (i32.const 4)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $each (i32.lt_u (local.get $i) (local.get $count))))
    (i64.or (i64.const 0x10000000000000)
      (i64.extend_i32_u (i32.sub (local.get $out) (i32.const 1048576)))))
)
