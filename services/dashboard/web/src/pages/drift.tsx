// SPDX-License-Identifier: Apache-2.0
// What has changed: what comes in and is decided against what the model was trained on, how good it was by days whose
// labels have come, the data itself, and the new models that were asked for.
import { useQuery } from "@tanstack/react-query";
import { Suspense, lazy } from "react";
import { watch } from "../api/drift";
import { go, href, useRoute } from "../route";
import { useShortcuts } from "../shortcuts";
import { Fault, Kbd, Loading, useTitle } from "../ui";
import "./drift.css";

const Subjects = lazy(() => import("./drift_subjects"));
const QualityView = lazy(() => import("./drift_quality"));
const DataView = lazy(() => import("./drift_data"));
const Requests = lazy(() => import("./drift_requests"));

const views = [
  { at: "", title: "Drift", key: "1" },
  { at: "quality", title: "Quality", key: "2" },
  { at: "data", title: "Data", key: "3" },
  { at: "requests", title: "Retraining", key: "4" },
];

export default function DriftPage() {
  const { path, query } = useRoute();
  const at = views.find((each) => each.at === (path[1] ?? "")) ?? views[0]!;
  useTitle(at.title);
  const asked = useQuery({
    queryKey: ["drift", "lanes"],
    queryFn: async ({ signal }) => {
      const live = await watch.drift(0, null, signal);
      return live.lanes;
    },
    staleTime: 60000,
  });
  const lanes = asked.data ?? [];
  const named = query.get("lane");
  const lane = named !== null ? Number(named) : ((lanes.find((each) => each.has_models) ?? lanes[0])?.lane ?? 0);
  const to = (view: string, inLane: string | undefined) => href(view ? `drift/${view}` : "drift", { lane: inLane });
  useShortcuts(
    "Views",
    views.map((each) => ({ key: each.key, label: each.title, run: () => go(to(each.at, named ?? undefined)) })),
  );
  return (
    <div className="page">
      <header>
        <h1>Drift</h1>
        <nav className="drift-tabs" aria-label="Views">
          {views.map((each) => (
            <a key={each.at} href={to(each.at, named ?? undefined)} aria-current={each === at ? "page" : undefined}>
              {each.title} <Kbd>{each.key}</Kbd>
            </a>
          ))}
        </nav>
        <span className="grow" />
        {lanes.length > 1 && (
          <select className="input lane" aria-label="Whose decisions" value={lane} onChange={(event) => go(to(at.at, event.target.value))}>
            {lanes.map((each) => (
              <option key={each.lane} value={each.lane}>
                {each.lane === 0 ? "All live accounts" : `${each.name}, on its own clock`}
                {each.has_models ? "" : " (no model)"}
              </option>
            ))}
          </select>
        )}
      </header>
      {asked.error && <Fault error={asked.error} again={() => void asked.refetch()} />}
      {asked.isPending && <Loading lines={10} />}
      {asked.data && (
        <Suspense fallback={<Loading lines={10} />}>
          {at.at === "" && <Subjects lane={lane} />}
          {at.at === "quality" && <QualityView lane={lane} />}
          {at.at === "data" && <DataView lane={lane} />}
          {at.at === "requests" && <Requests />}
        </Suspense>
      )}
    </div>
  );
}

