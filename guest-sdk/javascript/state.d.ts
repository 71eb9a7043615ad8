type Bytes = string | Uint8Array;

/** Keyed state of the (pipeline, partition) that the instance works for. */
export const state: {
  /** The value of a key; null if there is none, or if it has expired. */
  get(key: Bytes): Uint8Array | null;
  /** The same as text. */
  text(key: Bytes): string | null;
  /**
   * Sets a key, for good or for so many milliseconds. Throws where a key has not 1 to 4,096 bytes,
   * or a value more than 1 MiB.
   */
  put(key: Bytes, value: Bytes, options?: { ttlMs?: number }): void;
  /** Removes a key; false if there was none. */
  delete(key: Bytes): boolean;
  /** Entries whose key begins with `prefix`, in the order of keys. */
  scan(prefix?: Bytes): IterableIterator<[key: Uint8Array, value: Uint8Array]>;
};
