// Numbers, times and names as people read them.

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

export function count(number) {
  return Math.round(number).toLocaleString("en-GB");
}

export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

// "3 d 4 h", "12 min", "5 s": the two largest units, or one below an hour
export function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const first = UNITS.findIndex(([, size]) => whole >= size);
  if (first < 0) return "0 s";
  const [unit, size] = UNITS[first];
  const text = `${Math.floor(whole / size)} ${unit}`;
  const rest = first < 2 ? Math.floor((whole % size) / UNITS[first + 1][1]) : 0;
  return rest ? `${text} ${rest} ${UNITS[first + 1][0]}` : text;
}

export function rate(perSecond) {
  if (perSecond === null) return "–";
  if (perSecond === 0) return "0";
  if (perSecond < 10) return perSecond.toFixed(1);
  return count(perSecond);
}

// What one types for an address, as the reverse name has it: also while it is not complete ("10.244." is "244.10.in-addr.arpa")
export function reversed(text) {
  if (/^\d{1,3}(\.\d{1,3}){1,3}\.?$/.test(text)) {
    const octets = text.split(".").filter(Boolean);
    if (octets.some((octet) => Number(octet) > 255)) return null;
    const name = `${octets.reverse().join(".")}.in-addr.arpa.`;
    return octets.length === 4 ? name : `.${name}`;
  }
  return text.includes(":") ? reversed6(text) : null;
}

function reversed6(text) {
  const halves = text.toLowerCase().split("::");
  if (halves.length > 2) return null;
  const groups = halves.map((half) => (half ? half.split(":") : []));
  const missing = 8 - groups.flat().length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null;
  const all = halves.length === 2 ? [...groups[0], ...Array(missing).fill("0"), ...groups[1]] : groups[0];
  if (!all.every((group) => /^[0-9a-f]{1,4}$/.test(group))) return null;
  const digits = all.map((group) => group.padStart(4, "0")).join("");
  return `${[...digits].reverse().join(".")}.ip6.arpa.`;
}

// The name that somebody means who typed this: with the zone, where it is left out
export function completed(text, zones) {
  const reverse = reversed(text);
  if (reverse !== null) return reverse.startsWith(".") ? null : reverse;
  const plain = text.toLowerCase().replace(/\.$/, "");
  if (!/^[^\s.]+(\.[^\s.]+)*$/.test(plain)) return null;
  const inside = zones.some((zone) => `.${plain}.`.endsWith(`.${zone}`));
  if (inside || text.endsWith(".") || zones.length === 0) return `${plain}.`;
  const labels = plain.split(".");
  const last = labels[labels.length - 1];
  if (last === "svc" || last === "pod") return `${plain}.${zones[0]}`;
  return labels.length === 2 || labels.length === 3 ? `${plain}.svc.${zones[0]}` : `${plain}.${zones[0]}`;
}
