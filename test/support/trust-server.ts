import { fileURLToPath } from 'node:url';
import { LocalExchange } from '#server/local-exchange.ts';
import { trust } from './product.ts';
import { TestServer, type TestServerOptions } from './server.ts';

/** One message on its way through the server. */
export interface Passing {
  readonly topic: string;
  readonly payload: Buffer;
  readonly retain: boolean;
}

/** What a malicious operator delivers instead of a message. */
export type Tamper = (passing: Passing) => readonly Passing[];

/**
 * peercam-server as its operator could change it: everything is as it should be, with its right certificate, but what
 * it delivers, and to whom, is up to `tamper`. In this process, serving the built viewer.
 */
export class TamperedServer {
  readonly server: TestServer;
  /** Everything that came by, to be used again. */
  readonly seen: Passing[] = [];
  tamper: Tamper = (passing) => [passing];
  private deliverHonestly: ((topic: string, payload: Buffer, retain: boolean) => void) | undefined;

  private constructor(server: TestServer) {
    this.server = server;
  }

  static async start(options: TestServerOptions = {}): Promise<TamperedServer> {
    const { factory, files } = await trust();
    const viewerFolder = fileURLToPath(new URL('../../dist/viewer', import.meta.url));
    const tampered = new TamperedServer(
      new TestServer({ factory, certificate: files, viewerFolder, limits: { messagesPerCamera: 1000 }, ...options }),
    );
    tampered.takeOver();
    await tampered.server.start();
    return tampered;
  }

  /** Delivers something of its own. */
  deliver({ topic, payload, retain }: Passing): void {
    this.deliverHonestly?.(topic, payload, retain);
  }

  private takeOver(): void {
    const { seen } = this;
    const prototype = LocalExchange.prototype as unknown as {
      deliver(topic: string, payload: Buffer, retain: boolean): void;
    };
    const honest = prototype.deliver;
    const tampered = this;
    prototype.deliver = function (topic, payload, retain) {
      tampered.deliverHonestly ??= honest.bind(this);
      const passing = { topic, payload: Buffer.from(payload), retain };
      seen.push(passing);
      if (seen.length > 5000) seen.shift();
      for (const other of tampered.tamper(passing)) honest.call(this, other.topic, other.payload, other.retain);
    };
  }
}
