/**
 * Which of `count` things belong together, by union-find in one array of 4 bytes a thing. The root of a set is its lowest
 * member, so the result doesn't depend on the order of the unions.
 */
export class UnionFind {
  private readonly parent: Uint32Array;

  constructor(count: number) {
    this.parent = new Uint32Array(count);
    for (let i = 0; i < count; i++) this.parent[i] = i;
  }

  /** The lowest member of the set of `x`. */
  root(x: number): number {
    const { parent } = this;
    while (parent[x] !== x) {
      parent[x] = parent[parent[x]!]!;
      x = parent[x]!;
    }
    return x;
  }

  join(x: number, y: number): void {
    const a = this.root(x);
    const b = this.root(y);
    if (a < b) this.parent[b] = a;
    else this.parent[a] = b;
  }
}
