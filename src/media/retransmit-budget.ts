/**
 * How much may be sent again. Answering every NACK feeds the congestion that caused the loss: on a thin link the
 * retransmissions crowd out the picture. So each byte of fresh media earns a share of a byte, up to a burst.
 */
export class RetransmitBudget {
  private readonly share: number;
  private readonly burstBytes: number;
  private bytes: number;

  constructor(options: { share: number; burstBytes: number }) {
    this.share = options.share;
    this.burstBytes = options.burstBytes;
    this.bytes = options.burstBytes;
  }

  earn(sentBytes: number): void {
    this.bytes = Math.min(this.burstBytes, this.bytes + sentBytes * this.share);
  }

  /** Takes the bytes, or answers false and takes nothing. */
  spend(bytes: number): boolean {
    if (bytes > this.bytes) return false;
    this.bytes -= bytes;
    return true;
  }
}
