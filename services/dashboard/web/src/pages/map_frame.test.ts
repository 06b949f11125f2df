// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { distanceKm, frame, height, kmText, width } from "./map_frame";

const berlin = { lat: 52.52, lon: 13.405 };
const paris = { lat: 48.8566, lon: 2.3522 };

test("all places are in the frame, north above and east to the right", () => {
  for (const places of [[berlin], [berlin, paris], [{ lat: 89, lon: 0 }, { lat: -89, lon: 179 }], [{ lat: 0, lon: 179.9 }, { lat: 1, lon: -179.9 }]]) {
    const { spots, parallels, meridians, scale } = frame(places);
    for (const { x, y } of spots) {
      expect(x).toBeGreaterThanOrEqual(0);
      expect(x).toBeLessThanOrEqual(width);
      expect(y).toBeGreaterThanOrEqual(0);
      expect(y).toBeLessThanOrEqual(height);
    }
    expect(parallels.length).toBeGreaterThan(0);
    expect(meridians.length).toBeGreaterThan(0);
    expect(scale.width).toBeGreaterThan(10);
    expect(scale.width).toBeLessThan(width / 2);
  }
  const [b, p] = frame([berlin, paris]).spots;
  expect(b!.x).toBeGreaterThan(p!.x);
  expect(b!.y).toBeLessThan(p!.y);
});

test("places on both sides of the date line are near each other", () => {
  const { spots } = frame([{ lat: 0, lon: 179.95 }, { lat: 0, lon: -179.95 }]);
  expect(spots[1]!.x).toBeGreaterThan(spots[0]!.x);
});

test("distances are those of the great circle", () => {
  expect(distanceKm(berlin, paris)).toBeCloseTo(877.46, 1);
  expect(kmText(877.46)).toBe("877 km");
  expect(kmText(0.25)).toBe("250 m");
});
