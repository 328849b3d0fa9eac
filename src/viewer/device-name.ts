interface UserAgentData {
  readonly platform?: string;
  readonly brands?: readonly { readonly brand: string }[];
}

const BROWSERS: readonly (readonly [RegExp, string])[] = [
  [/\bEdgA?\/|Microsoft Edge/, 'Edge'],
  [/\bOPR\/|Opera/, 'Opera'],
  [/SamsungBrowser|Samsung Internet/, 'Samsung Internet'],
  [/\bFirefox\/|\bFxiOS\//, 'Firefox'],
  [/\bCriOS\/|Google Chrome|\bChrome\//, 'Chrome'],
  [/Chromium/, 'Chromium'],
  [/\bSafari\//, 'Safari'],
];

const SYSTEMS: readonly (readonly [RegExp, string])[] = [
  [/iPhone/, 'iPhone'],
  [/iPad/, 'iPad'],
  [/Android/, 'Android'],
  [/CrOS|Chrome ?OS/, 'ChromeOS'],
  [/Windows/, 'Windows'],
  [/Mac OS X|macOS/, 'Mac'],
  [/Linux/, 'Linux'],
];

/** What this browser calls itself to a camera's owner, for people: `Chrome on Android`. */
export function deviceName(agent: { readonly userAgent: string; readonly userAgentData?: UserAgentData }): string {
  const { userAgent, userAgentData } = agent;
  const brands = userAgentData?.brands?.map(({ brand }) => brand).join(' ') ?? '';
  const browser = nameOf(brands, BROWSERS) ?? nameOf(userAgent, BROWSERS) ?? 'A browser';
  const system = nameOf(userAgentData?.platform ?? '', SYSTEMS) ?? nameOf(userAgent, SYSTEMS);
  return system ? `${browser} on ${system}` : browser;
}

function nameOf(text: string, names: readonly (readonly [RegExp, string])[]): string | undefined {
  return names.find(([pattern]) => pattern.test(text))?.[1];
}
