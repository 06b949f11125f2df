// SPDX-License-Identifier: Apache-2.0
// A small map without tiles: places in a frame, lines of latitude and longitude, a scale. Equirectangular, true to scale
// at the middle latitude.

export const width = 640;
export const height = 320;
const margin = 34;
const kmPerDegree = (2 * Math.PI * 6371.0088) / 360;

export interface LatLon {
  lat: number;
  lon: number;
}

export interface Frame {
  spots: { x: number; y: number }[];
  parallels: { y: number; text: string }[];
  meridians: { x: number; text: string }[];
  scale: { width: number; text: string };
}

/** The largest of 1, 2, 5, 10, 20, ... (or 15, 30 and so on among degrees) that is not above. */
const nice = (most: number): number => {
  const power = 10 ** Math.floor(Math.log10(most));
  const first = most / power;
  return power * (first >= 5 ? 5 : first >= 2 ? 2 : 1);
};

const degrees = (value: number, step: number, of: [string, string]): string =>
  `${Math.abs(value).toFixed(Math.max(0, Math.ceil(-Math.log10(step))))}°${value === 0 ? "" : of[value > 0 ? 0 : 1]}`;

/** Longitudes go on beyond 180° where places lie on both sides of it. */
const near = (lon: number, of: number): number => of + ((((lon - of + 180) % 360) + 360) % 360) - 180;

export function frame(places: LatLon[]): Frame {
  const own = places[0]!;
  const all = places.map(({ lat, lon }) => ({ lat, lon: near(lon, own.lon) }));
  const low = { lat: Math.min(...all.map((each) => each.lat)), lon: Math.min(...all.map((each) => each.lon)) };
  const high = { lat: Math.max(...all.map((each) => each.lat)), lon: Math.max(...all.map((each) => each.lon)) };
  const middle = { lat: (low.lat + high.lat) / 2, lon: (low.lon + high.lon) / 2 };
  const narrow = Math.max(0.05, Math.cos((middle.lat * Math.PI) / 180));
  // Pixels per degree of latitude: all fits, and a single place is seen with some 10 km around it.
  const scale = Math.min(
    (width - 2 * margin) / Math.max((high.lon - low.lon) * narrow, 0.2),
    (height - 2 * margin) / Math.max(high.lat - low.lat, 0.1),
  );
  const x = (lon: number) => width / 2 + (lon - middle.lon) * narrow * scale;
  const y = (lat: number) => height / 2 - (lat - middle.lat) * scale;
  const lines = (from: number, to: number, step: number) => {
    const found: number[] = [];
    for (let i = Math.ceil(from / step); i * step <= to && found.length < 20; i++) found.push(Number((i * step).toPrecision(10)));
    return found;
  };
  const halfLat = height / 2 / scale;
  const halfLon = width / 2 / scale / narrow;
  const stepLat = Math.min(30, nice((2 * halfLat) / 3));
  const stepLon = Math.min(30, nice((2 * halfLon) / 4));
  const km = nice(((width / 4) / scale) * kmPerDegree);
  return {
    spots: all.map((each) => ({ x: Math.round(x(each.lon) * 10) / 10, y: Math.round(y(each.lat) * 10) / 10 })),
    parallels: lines(Math.max(-90, middle.lat - halfLat), Math.min(90, middle.lat + halfLat), stepLat).map((lat) => ({ y: y(lat), text: degrees(lat, stepLat, ["N", "S"]) })),
    meridians: lines(middle.lon - halfLon, middle.lon + halfLon, stepLon).map((lon) => ({ x: x(lon), text: degrees(near(lon, 0), stepLon, ["E", "W"]) })),
    scale: { width: (km / kmPerDegree) * scale, text: km >= 1 ? `${km.toLocaleString()} km` : `${km * 1000} m` },
  };
}

/** Along the great circle, by the haversine formula. */
export function distanceKm(a: LatLon, b: LatLon): number {
  const rad = Math.PI / 180;
  const h = Math.sin(((b.lat - a.lat) * rad) / 2) ** 2 + Math.cos(a.lat * rad) * Math.cos(b.lat * rad) * Math.sin(((b.lon - a.lon) * rad) / 2) ** 2;
  return 2 * 6371.0088 * Math.asin(Math.min(1, Math.sqrt(h)));
}

export const kmText = (km: number): string => (km < 1 ? `${Math.round(km * 1000)} m` : `${km < 10 ? km.toFixed(1) : Math.round(km).toLocaleString()} km`);
