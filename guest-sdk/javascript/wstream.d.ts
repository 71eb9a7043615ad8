/** A key, a value or a header's value. Null and empty differ. */
export type Bytes = string | Uint8Array;

/** A value of JSON. */
export type Json = string | number | boolean | null | Json[] | { [name: string]: Json };

/** Fails the record, or in a constructor the configuration. */
export class Failure extends Error {
  /** The code is 0 to 999. */
  constructor(code: number, message: string);
  readonly code: number;
}

/** What a transform gets. */
export class Record {
  private constructor();
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Milliseconds since 1970, -1 if unknown. */
  readonly timestamp: number;
  /** Text, or bytes where it is not UTF-8; with `payloads: 'binary'` always bytes. */
  readonly key: Bytes | null;
  /** Text, or bytes where it is not UTF-8; with `payloads: 'binary'` always bytes. */
  readonly value: Bytes | null;
  /** Names and values, in order; names may repeat. */
  readonly headers: [name: string, value: Bytes | null][];
  /** The last header of that name. */
  header(name: string): Bytes | null;
  /** The value's bytes. */
  bytes(): Uint8Array | null;
  /** The value as text; throws where it is not UTF-8. */
  text(): string | null;
  /** The value as JSON; fails the record with the code where it is none. */
  json(code?: number): Json;
  /** The value as an object to edit; fails the record with the code where it is none. */
  object(code?: number): JsonObject;
  /** An output with the record's key, value and headers but for what is given. */
  with(changes: Output): Output;
}

/** A record to be sent: what is not given is null, and of the headers there are none. */
export interface Output {
  value?: Bytes | JsonObject | null;
  key?: Bytes | null;
  headers?: Iterable<[name: string, value: Bytes | null]>;
  /** A name of the transform's `outputs`, or a number. The first is the default. */
  output?: string | number;
  /** By the hash of the key, if none is given. */
  partition?: number;
  /** Milliseconds since 1970; the record's, if none is given. */
  timestamp?: number;
}

/**
 * An object whose fields are edited where they stand: what is not touched keeps its text. Of fields
 * with one name the last counts; an edit changes all of them.
 */
export class JsonObject {
  private constructor();
  /** The object of a text; undefined if it is not exactly one. */
  static parse(text: string): JsonObject | undefined;
  get(name: string): Json | undefined;
  has(name: string): boolean;
  /** The text of a field's value as it stands, such as `1.50`. */
  raw(name: string): string | undefined;
  /** The texts of the elements of a field that is an array; undefined if it is none. */
  elements(name: string): string[] | undefined;
  /** Sets a field, in its place or behind the last one. */
  set(name: string, value: Json): void;
  /** Sets a field to a text that is JSON already. */
  setRaw(name: string, raw: string): void;
  /** Removes a field; false if there is none. */
  delete(name: string): boolean;
  /** Gives a field another name in its place; false if there is no such field. */
  rename(from: string, to: string): boolean;
  /** The object as it is now. */
  toString(): string;
}

/** An output, the record itself, several, or nothing, which drops the record. */
export type Outputs = Output | Record | Iterable<Output | Record> | null | undefined | void;

export type Transform = (record: Record) => Outputs;

export interface Options {
  /** Names of the outputs, as in transform.toml. */
  outputs?: readonly string[];
  /** How keys and values come: text where they are UTF-8, or always bytes. */
  payloads?: 'text' | 'binary';
}

/** A class with a method `transform`; its static fields are the options. */
export interface TransformClass<Config> extends Options {
  new (config: Config): { transform(record: Record): Outputs };
}

/** What the module exports as `guest`. */
export interface Guest {
  readonly outputs: readonly string[];
  init(config: string): void;
  /** A batch and what is answered: the frames of ABI.md. */
  process(batch: Uint8Array): Uint8Array;
}

/** Makes a transform of a class, or of a function that gets the configuration and gives another. */
export function transform<Config = any>(
  definition: TransformClass<Config> | ((config: Config) => Transform),
  options?: Options,
): Guest;
