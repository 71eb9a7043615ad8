// What the host calls: `export * from` this file in a transform's own.

export {
  wstream_abi_v1,
  wstream_alloc,
  wstream_cursor,
  wstream_init,
  wstream_process,
} from './run';
