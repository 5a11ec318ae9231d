const octet = "(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)";
const address = new RegExp(`(?:${octet}\\.){3}${octet}`, "g");

const numberOf = (text: string): number => text.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);

/** IPv4 networks that no public address lies in, as first address and bits (IANA's special-purpose registry). */
const networks: readonly [first: string, bits: number][] = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["240.0.0.0", 4],
];
/** Public all the same, though in one of those networks. */
const exceptions = new Set(["192.0.0.9", "192.0.0.10"]);

const special = networks.map(([first, bits]) => ({ number: numberOf(first), size: 2 ** (32 - bits) }));

function isPublic(text: string): boolean {
  const found = numberOf(text);
  return (
    exceptions.has(text) || !special.some(({ number, size }) => found >= number && found < number + size)
  );
}

/** Text with IPv4 addresses replaced, all or those of the public Internet. Numbers with leading zeros are no address. */
export function replaceAddresses(text: string, publicOnly: boolean, replacement: () => string): string {
  return text.replace(address, (found) => {
    if (/(?:^|\.)0\d/.test(found) || (publicOnly && !isPublic(found))) return found;
    return replacement();
  });
}
