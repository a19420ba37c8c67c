// Numbers as people read them. What is not known is a dash.
const UNKNOWN = "–";
const known = (number) => typeof number === "number" && Number.isFinite(number);
const grouped = new Intl.NumberFormat("en", { useGrouping: true, maximumFractionDigits: 0 });

export const count = (number) => (known(number) ? grouped.format(number).replaceAll(",", "\u202f") : UNKNOWN);

export const rate = (number) => (!known(number) ? UNKNOWN : number === 0 ? "0" : number < 100 ? number.toFixed(1) : count(number));

export const share = (number) => (known(number) ? `${(number * 100).toFixed(1)} %` : UNKNOWN);

export function size(number) {
  if (!known(number)) return UNKNOWN;
  let unit = 0;
  for (; number >= 1024 && unit < 4; unit++) number /= 1024;
  return `${number.toFixed(unit === 0 || number >= 100 ? 0 : 1)} ${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`;
}

export function span(seconds) {
  if (!known(seconds)) return UNKNOWN;
  if (seconds <= 0) return "0 s";
  if (seconds < 0.001) return `${(seconds * 1e6).toFixed(0)} µs`;
  if (seconds < 1) return `${Number((seconds * 1e3).toPrecision(2))} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} m ${two(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two((whole % 3600) / 60)} m`;
  return `${Math.floor(whole / 86400)} d ${two((whole % 86400) / 3600)} h`;
}
