import type { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';

const LOOPBACK = ['localhost', '127.0.0.1', '::1'];

/**
 * The names this server goes by: those it was told, those in its certificate, and loopback. A viewer proves its key
 * for a name; if any name were good, another server could pass a proof on to this one and come in as that viewer.
 */
export class ServerNames {
  private readonly options: { readonly names: readonly string[]; certificate(): X509Certificate | undefined };

  constructor(options: { readonly names: readonly string[]; certificate(): X509Certificate | undefined }) {
    this.options = options;
  }

  /** @param host without a port, an IPv6 address without brackets */
  include(host: string): boolean {
    const { names, certificate } = this.options;
    if (LOOPBACK.includes(host) || names.some((name) => name.toLowerCase() === host)) return true;
    const own = certificate();
    return (isIP(host) ? own?.checkIP(host) : own?.checkHost(host)) !== undefined;
  }
}
