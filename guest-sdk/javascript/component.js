// What a component exports: `wstream transform build` bundles this with the transform's own module,
// for which `transform` stands.
export { guest as guestFrames } from 'transform';
