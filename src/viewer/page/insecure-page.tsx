import { words } from '../words.ts';
import { Brand } from './brand.tsx';

/** In place of everything where the browser keeps back what protects a camera. @param address of the secure page */
export function InsecurePage({ address }: { readonly address: string }) {
  return (
    <main class="start">
      <div class="start-card">
        <Brand />
        <h1>{words.insecure.heading}</h1>
        <p class="lead">{words.insecure.text}</p>
        <a class="button primary wide" href={address}>
          {words.insecure.open}
        </a>
        <p class="promise">{words.insecure.other}</p>
      </div>
    </main>
  );
}
