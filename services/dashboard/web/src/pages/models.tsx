// SPDX-License-Identifier: Apache-2.0
// Models: what is registered and what it is, how a challenger does beside the champion, experiments, retraining.
import { useInfiniteQuery } from "@tanstack/react-query";
import { Suspense, lazy, useEffect, useRef, useState } from "react";
import { type Model, modelsApi } from "../api/models";
import { saveCsv } from "../csv";
import { count, moment } from "../format";
import { go, href, useRoute } from "../route";
import { useMay } from "../session";
import { useShortcuts } from "../shortcuts";
import { Blank, Chip, Fault, Kbd, Loading, useTitle } from "../ui";
import "./models.css";
import { ChangeDialog, type Wish } from "./models_change";
import { StateChip, figure, stateText } from "./models_parts";

const CardPage = lazy(() => import("./models_card"));
const ComparePage = lazy(() => import("./models_compare"));
const ExperimentsPage = lazy(() => import("./models_experiments"));
const RetrainingPage = lazy(() => import("./models_retraining"));
const SlicePage = lazy(() => import("./models_slice"));

const tabs = [
  { at: "", title: "Registry" },
  { at: "compare", title: "Compare" },
  { at: "experiments", title: "Experiments" },
  { at: "retraining", title: "Retraining" },
  { at: "slice", title: "Control slice" },
];

const place = (at: string) => href(at ? `models/${at}` : "models");

export default function ModelsPage() {
  useTitle("Models");
  const { path } = useRoute();
  const at = path[1] ?? "";
  useShortcuts("Models", tabs.map((tab, i) => ({ key: String(i + 1), label: tab.title, run: () => go(place(tab.at)) })));
  return (
    <div className="page">
      <nav className="parts" aria-label="Parts of this page">
        {tabs.map((tab, i) => (
          <a key={tab.at} href={place(tab.at)} aria-current={tab.at === at || (tab.at === "" && at === "card") ? "page" : undefined}>
            {tab.title} <Kbd>{i + 1}</Kbd>
          </a>
        ))}
      </nav>
      <Suspense fallback={<Loading lines={10} />}>
        {at === "" && <Registry />}
        {at === "card" && <CardPage name={path[2] ?? ""} version={Number(path[3])} />}
        {at === "compare" && <ComparePage />}
        {at === "experiments" && <ExperimentsPage id={path[2] ? Number(path[2]) : null} />}
        {at === "retraining" && <RetrainingPage />}
        {at === "slice" && <SlicePage />}
      </Suspense>
    </div>
  );
}

const pageRows = 100;

function Registry() {
  const mayChange = useMay("model_owner");
  const [wish, setWish] = useState<Wish | null>(null);
  const table = useRef<HTMLTableElement>(null);
  const asked = useInfiniteQuery({
    queryKey: ["models", "list"],
    queryFn: ({ pageParam, signal }) => modelsApi.list(pageParam, pageRows, signal),
    initialPageParam: null as number | null,
    getNextPageParam: (page) => (page.models.length === pageRows ? page.models[pageRows - 1]!.version : null),
    refetchInterval: 10000,
  });
  const models = asked.data?.pages.flatMap((page) => page.models) ?? [];
  const champions = models.filter((each) => each.state === "champion");
  const champion = (name: string) => champions.find((each) => each.name === name) ?? null;
  const wayBack = (name: string) => models.find((each) => each.name === name && each.aliases.includes("previous_champion")) ?? null;
  const step = (by: number) => {
    const links = [...(table.current?.querySelectorAll<HTMLAnchorElement>("tbody th a") ?? [])];
    const now = links.indexOf(document.activeElement as HTMLAnchorElement);
    links[Math.min(links.length - 1, Math.max(0, now + by))]?.focus();
  };
  useShortcuts("Registry", [
    { key: "j", label: "Next version", run: () => step(1) },
    { key: "k", label: "Version before", run: () => step(-1) },
    { key: "c", label: "Compare challenger and champion", run: () => go(href("models/compare")) },
  ]);
  useEffect(() => {
    if (wish && !models.some((each) => each.version === wish.model.version)) setWish(null);
  }, [wish, models]);
  return (
    <>
      <header className="row">
        <h1>Models</h1>
        <span className="muted small">{asked.data && count(models.length)}</span>
        <span className="grow" />
        {!mayChange && models.length > 0 && <span className="small muted">Promoting and rolling back is for model owners.</span>}
        {mayChange &&
          champions.map((each) => {
            const back = wayBack(each.name);
            return (
              back && (
                <button key={each.version} type="button" className="button" onClick={() => setWish({ kind: "rollback", model: back, champion: each })}>
                  Roll {each.name} back to {back.version}
                </button>
              )
            );
          })}
        <button type="button" className="button" disabled={models.length === 0} onClick={() => saveCsv("models.csv", csvColumns, models.map(flat))}>
          CSV
        </button>
      </header>
      {asked.error && <Fault error={asked.error} again={() => void asked.refetch()} />}
      <div className="panel">
        {asked.isPending && <Loading lines={8} />}
        {asked.data && models.length === 0 && <NoModel />}
        {models.length > 0 && (
          <div className="table-wrap" tabIndex={0} role="region" aria-label="Table of models">
            <table className="plain" ref={table}>
              <thead>
                <tr>
                  <th scope="col">Version</th>
                  <th scope="col">State</th>
                  <th scope="col" className="num">Average precision</th>
                  <th scope="col" className="num">Calibration error</th>
                  <th scope="col" className="num">Card precision@100</th>
                  <th scope="col" className="num">Judged on frauds</th>
                  <th scope="col">Registered</th>
                  <th scope="col">Last change</th>
                  <th scope="col">Do</th>
                </tr>
              </thead>
              <tbody>
                {models.map((model) => (
                  <tr key={model.version} className={model.state === "champion" ? "is-champion" : undefined}>
                    <th scope="row" className="nowrap">
                      <a href={href(`models/card/${encodeURIComponent(model.name)}/${model.version}`)}>
                        {model.name} {model.version}
                      </a>
                    </th>
                    <td>
                      <span className="row">
                        <StateChip state={model.state} aliases={model.aliases} />
                        {!model.signer && <Chip>unsigned</Chip>}
                      </span>
                    </td>
                    <td className="num">{figure(model.figures.average_precision)}</td>
                    <td className="num">{figure(model.figures.calibration_error)}</td>
                    <td className="num">{figure(model.figures.card_precision_100)}</td>
                    <td className="num">{model.figures.held_out_frauds === undefined ? "–" : count(model.figures.held_out_frauds)}</td>
                    <td>
                      {moment(model.created_at)} <span className="muted small">by {model.run?.requested_by ?? model.registered_by ?? "somebody"}</span>
                    </td>
                    <td>
                      {model.change ? (
                        <span title={model.change.reason ?? ""}>
                          {model.change.action.replace("model.", "")} <span className="muted small">{moment(model.change.at)} by {model.change.by}</span>
                        </span>
                      ) : (
                        "–"
                      )}
                    </td>
                    <td className="nowrap">
                      {model.state !== "champion" && champion(model.name) && (
                        <a
                          className="button quiet" aria-label={`Compare ${model.name} ${model.version} with the champion`}
                          href={href("models/compare", { name: model.name, challenger: String(model.version) })}
                        >
                          Compare
                        </a>
                      )}
                      {mayChange && model.state !== "champion" && model.state !== "rejected" && (
                        <button
                          type="button" className="button quiet" aria-label={`Promote ${model.name} ${model.version}`}
                          onClick={() => setWish({ kind: "promote", model, champion: champion(model.name) })}
                        >
                          Promote
                        </button>
                      )}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </div>
      {asked.hasNextPage && (
        <div className="row">
          <button type="button" className="button" onClick={() => void asked.fetchNextPage()} disabled={asked.isFetchingNextPage}>
            Older
          </button>
        </div>
      )}
      {wish && <ChangeDialog wish={wish} onClose={() => setWish(null)} />}
    </>
  );
}

function NoModel() {
  return (
    <Blank title="No model yet">
      <p>Until there is a champion, rules and lists decide alone. A model comes into being so:</p>
      <ol className="model-steps">
        <li>Payments are decided and labels arrive: a few weeks of both are enough.</li>
        <li>
          <span>
            A run of training learns from them: <a href={href("models/retraining")}>request one</a>, or make a schedule.
          </span>
        </li>
        <li>The new version is held to its gates. The first that passes them becomes champion; later ones must show in shadow and in an experiment that they are better.</li>
      </ol>
      <p>
        A model from elsewhere is taken in by <code>assay models import</code>.
      </p>
    </Blank>
  );
}

const csvColumns = [
  "version", "name", "state", "aliases", "average_precision", "calibration_error", "card_precision_100", "held_out_frauds", "created_at", "registered_by",
  "change", "changed_at", "changed_by", "reason", "sha256", "signer",
] as const;
const flat = (model: Model) => ({
  ...model, state: stateText[model.state], average_precision: model.figures.average_precision, calibration_error: model.figures.calibration_error,
  card_precision_100: model.figures.card_precision_100, held_out_frauds: model.figures.held_out_frauds,
  change: model.change?.action, changed_at: model.change?.at, changed_by: model.change?.by, reason: model.change?.reason,
});
