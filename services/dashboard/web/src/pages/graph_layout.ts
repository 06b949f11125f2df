// SPDX-License-Identifier: Apache-2.0
// Where the nodes of a graph stand: in rings around the payment, by how far they are from it, each behind what led to it.
// The same graph is always drawn the same.
import type { Graph } from "../api/evidence";

export interface Spot {
  x: number;
  y: number;
}

export const width = 720;
export const height = 520;
const middle: Spot = { x: width / 2, y: height / 2 };
const reach = [0.34, 0.68, 1];
const turn = 2 * Math.PI;

/** The direction that angles point to on the whole; they may go round. */
function mean(angles: number[]): number {
  return Math.atan2(angles.reduce((sum, each) => sum + Math.sin(each), 0), angles.reduce((sum, each) => sum + Math.cos(each), 0));
}

export function layout(graph: Pick<Graph, "nodes" | "edges">): Spot[] {
  const angle: number[] = graph.nodes.map(() => 0);
  for (const hop of [0, 1, 2] as const) {
    const ring = graph.nodes.filter((each) => each.hop === hop);
    const wish = new Map(
      ring.map((each) => {
        const inner = graph.edges
          .filter(({ from, to }) => from === each.node || to === each.node)
          .map(({ from, to }) => (from === each.node ? to : from))
          .filter((other) => graph.nodes[other]!.hop < hop);
        return [each.node, inner.length ? mean(inner.map((other) => angle[other]!)) : -Math.PI / 2] as const;
      }),
    );
    const sorted = hop === 0 ? ring : [...ring].sort((a, b) => wish.get(a.node)! - wish.get(b.node)! || a.node - b.node);
    const slots = sorted.map((_, i) => (turn * i) / sorted.length);
    // The ring is turned as a whole to where its nodes would like to be.
    const offset = hop === 0 ? -Math.PI / 2 : mean(sorted.map((each, i) => wish.get(each.node)! - slots[i]!));
    sorted.forEach((each, i) => (angle[each.node] = slots[i]! + offset));
  }
  return graph.nodes.map((each) => ({
    x: Math.round(middle.x + Math.cos(angle[each.node]!) * reach[each.hop]! * (width / 2 - 30)),
    y: Math.round(middle.y + Math.sin(angle[each.node]!) * reach[each.hop]! * (height / 2 - 26)),
  }));
}

/** The node that comes next in the direction of an arrow key, or the same. */
export function neighbour(spots: Spot[], from: number, key: string): number {
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key] ?? [0, 0];
  const here = spots[from];
  let best = from;
  let least = Infinity;
  if (!here) return from;
  spots.forEach((spot, i) => {
    const along = (spot.x - here.x) * dx! + (spot.y - here.y) * dy!;
    const aside = Math.abs((spot.x - here.x) * dy!) + Math.abs((spot.y - here.y) * dx!);
    if (i !== from && along > 0 && along + 2 * aside < least) {
      least = along + 2 * aside;
      best = i;
    }
  });
  return best;
}
