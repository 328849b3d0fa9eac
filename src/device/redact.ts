/** Text without the passwords of URLs (`rtsp://user:secret@host`): it goes to logs and to viewers. */
export function withoutPasswords(text: string): string {
  return text.replace(/(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/@'"]+@/gi, '$1***@');
}
