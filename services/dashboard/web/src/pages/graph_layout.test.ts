// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import type { GraphNode } from "../api/evidence";
import { height, layout, neighbour, width } from "./graph_layout";

const node = (at: number, hop: 0 | 1 | 2) => ({ node: at, hop }) as GraphNode;

function star(count: number) {
  const nodes = [node(0, 0), node(1, 0), ...Array.from({ length: count }, (_, i) => node(2 + i, i % 2 ? 2 : 1))];
  const edges = nodes.slice(2).map((each, i) => ({ from: each.hop === 1 ? i % 2 : i + 1, to: each.node, payments: 1 }));
  return { nodes, edges };
}

test("a graph of any size stays in its frame, no node on another, the same each time", () => {
  for (const size of [0, 1, 7, 62]) {
    const spots = layout(star(size));
    expect(spots).toEqual(layout(star(size)));
    for (const [i, a] of spots.entries()) {
      expect(a.x).toBeGreaterThan(12);
      expect(a.x).toBeLessThan(width - 12);
      expect(a.y).toBeGreaterThan(12);
      expect(a.y).toBeLessThan(height - 12);
      for (const b of spots.slice(i + 1)) expect(Math.hypot(a.x - b.x, a.y - b.y)).toBeGreaterThan(20);
    }
  }
});

test("arrow keys reach every node", () => {
  const spots = layout(star(30));
  const seen = new Set([0]);
  const open = [0];
  while (open.length) {
    const at = open.pop()!;
    for (const key of ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"]) {
      const to = neighbour(spots, at, key);
      if (!seen.has(to)) {
        seen.add(to);
        open.push(to);
      }
    }
  }
  expect(seen.size).toBe(spots.length);
  expect(neighbour(spots, 0, "x")).toBe(0);
});
