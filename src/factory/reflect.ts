/**
 * The three functions of `reflect-metadata` that @peculiar/x509's injection container asks for, which refuses to load
 * without them. No class of ours has metadata; what the container stores is kept per class and key.
 * Import this file before @peculiar/x509.
 */
const metadata = new WeakMap<object, Map<unknown, unknown>>();

const shim = {
  getMetadata: (key: unknown, target: object) => metadata.get(target)?.get(key),
  getOwnMetadata: (key: unknown, target: object) => metadata.get(target)?.get(key),
  defineMetadata(key: unknown, value: unknown, target: object) {
    const known = metadata.get(target) ?? new Map<unknown, unknown>();
    metadata.set(target, known.set(key, value));
  },
};

if (!('getMetadata' in Reflect)) Object.assign(Reflect, shim);
