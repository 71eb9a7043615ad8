// The wstream SDK for transforms in AssemblyScript: a function that gets each record and says what
// becomes of it.
//
//   import { fail, Output, Raw, Record, register, send } from './wstream';
//   export * from './wstream/abi';
//
//   register((record: Record): void => {
//     const event = record.json();
//     if (!event) return fail(1, 'no JSON object');
//     if (event.get('level').is('debug')) return; // no output: the record is dropped
//     event.rename('msg', 'message');
//     const output = Output.of(record);
//     output.value = event.text();
//     send(output);
//   });
//
// Compile it with `asc transform.ts -O3 --runtime minimal --enable simd -o NAME.wasm`: memory is
// collected once a batch. What a record gives, and an `Output.of` it, is valid until the transform
// returns: the next record takes its place in memory. State in memory is lost with an instance that
// trapped: keep in it what makes the work faster, not what results depend on, which is for `state`.
// The SDK speaks wstream_v1, see ABI.md.

export { fail, register, registerSetup, refuse, send } from './run';
export { BY_KEY, INHERIT, Output, Record } from './record';
export { Json, Raw } from './json';
export { Scan, state } from './state';
export { Text } from './text';
export { count, gauge, Level, log, now, observe } from './host';
