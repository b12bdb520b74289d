/** Puts a simulated kernel in the place of the real one for the code that waits and wakes. */
const REAL = '/src/linux/events.js';
const WAITERS = /\/src\/(enclave\/ring-port|host\/ring-sink)\.js$/;

interface Context {
  readonly parentURL?: string;
}

interface Resolved {
  readonly url: string;
}

export async function resolve(
  specifier: string,
  context: Context,
  next: (specifier: string, context: Context) => Promise<Resolved>,
): Promise<Resolved> {
  const resolved = await next(specifier, context);
  if (!resolved.url.endsWith(REAL) || !WAITERS.test(context.parentURL ?? '')) return resolved;
  return { ...resolved, url: new URL('./simulated-events.js', import.meta.url).href };
}
