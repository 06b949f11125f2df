// SPDX-License-Identifier: Apache-2.0
// Where the payment was made, and those before it. Nothing is shown where payments carry no coordinates.
import { useQuery } from "@tanstack/react-query";
import { type Place, type Places, evidence } from "../api/evidence";
import { moment, money, span } from "../format";
import { href } from "../route";
import { Panel } from "../ui";
import { distanceKm, frame, height, kmText, width } from "./map_frame";

const airlinerKmPerH = 900;
const placeText = (place: Place): string =>
  `${Math.abs(place.lat).toFixed(3)}° ${place.lat < 0 ? "S" : "N"}, ${Math.abs(place.lon).toFixed(3)}° ${place.lon < 0 ? "W" : "E"}`;

export default function MapPanel({ id }: { id: number }) {
  const asked = useQuery({ queryKey: ["places", id], queryFn: ({ signal }) => evidence.places(id, signal), staleTime: 60000 });
  if (!asked.data || asked.data.places.length === 0) return null;
  return (
    <Panel title="Places" flush>
      <div className="body stack">
        <Travel found={asked.data} />
        <Picture places={asked.data.places} />
      </div>
      <Table places={asked.data.places} />
    </Panel>
  );
}

/** How far and how fast, in words. */
function Travel({ found }: { found: Places }) {
  const { last, of } = found;
  if (!last) return <p className="muted">No earlier payment of this {of} carries coordinates.</p>;
  const speed = last.km_per_h;
  const isTooFast = speed !== null && speed > airlinerKmPerH && last.km > 50;
  return (
    <p>
      <strong className={isTooFast ? "bad" : ""}>{kmText(last.km)}</strong> from this {of}&rsquo;s payment before
      {last.seconds > 0 ? `, ${span(last.seconds)} later` : ", at the same time"}
      {speed !== null && last.km > 1 && (
        <>
          : <strong className={isTooFast ? "bad" : ""}>{Math.round(speed).toLocaleString()} km/h</strong>
          {isTooFast && ", faster than an airliner flies"}
        </>
      )}
      .
    </p>
  );
}

function Picture({ places }: { places: Place[] }) {
  const { spots, parallels, meridians, scale } = frame(places);
  return (
    <svg className="map" viewBox={`0 0 ${width} ${height}`} role="img" aria-label="The places, numbered as in the table below, the payment itself is 1">
      {parallels.map((each) => (
        <g key={each.text}>
          <line className="graticule" x1={0} x2={width} y1={each.y} y2={each.y} />
          <text x={4} y={each.y - 3}>{each.text}</text>
        </g>
      ))}
      {meridians.map((each) => (
        <g key={each.text}>
          <line className="graticule" x1={each.x} x2={each.x} y1={0} y2={height} />
          <text x={each.x + 3} y={height - 5}>{each.text}</text>
        </g>
      ))}
      <polyline className="way" points={spots.map(({ x, y }) => `${x},${y}`).join(" ")} />
      {[...spots.entries()].reverse().map(([i, { x, y }]) => (
        <g key={places[i]!.transaction_id} transform={`translate(${x} ${y})`}>
          <circle className={i === 0 ? "self" : places[i]!.is_fraud ? "fraud" : places[i]!.is_fraud === false ? "legit" : "place"} r={i === 0 ? 9 : 7} />
          {i < 9 && <text className={i === 0 ? "on" : ""} textAnchor="middle" y={3.5}>{i + 1}</text>}
        </g>
      ))}
      <g transform={`translate(${width - scale.width - 14} 20)`}>
        <path className="scale" d={`M0 -4V4M0 0H${scale.width}M${scale.width} -4V4`} />
        <text x={scale.width / 2} y={-6} textAnchor="middle">{scale.text}</text>
      </g>
    </svg>
  );
}

function Table({ places }: { places: Place[] }) {
  return (
    <div className="table-wrap" tabIndex={0} role="region" aria-label="Table of places">
      <table className="plain">
        <thead>
          <tr>
            <th scope="col" className="num">No.</th>
            <th scope="col">When</th>
            <th scope="col">Where</th>
            <th scope="col" className="num">From here</th>
            <th scope="col" className="num">Amount</th>
            <th scope="col">Payment</th>
          </tr>
        </thead>
        <tbody>
          {places.slice(0, 12).map((each, i) => (
            <tr key={each.transaction_id}>
              <td className="num">{i + 1}</td>
              <td className="nowrap">{moment(each.occurred_at)}</td>
              <td className="nowrap">{placeText(each)}</td>
              <td className="num">{i === 0 ? "here" : kmText(distanceKm(places[0]!, each))}</td>
              <td className="num">{money(each.amount_minor, each.currency)}</td>
              <td className="nowrap">{each.case ? <a href={href(`cases/${each.case}`)}>{each.transaction_id}</a> : each.transaction_id}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
