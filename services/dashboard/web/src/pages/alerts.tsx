// SPDX-License-Identifier: Apache-2.0
// What is wrong and what was; silences; and who is told by webhook.
import { Suspense, lazy } from "react";
import { go, href, useRoute } from "../route";
import { useMay } from "../session";
import { useShortcuts } from "../shortcuts";
import { Kbd, Loading, useTitle } from "../ui";
import "./drift.css";

const List = lazy(() => import("./alerts_list"));
const Silences = lazy(() => import("./alerts_silences"));
const Webhooks = lazy(() => import("./alerts_webhooks"));

export default function AlertsPage() {
  const { path } = useRoute();
  const seesWebhooks = useMay("admin", "auditor");
  const views = [
    { at: "", title: "Open", key: "1" },
    { at: "all", title: "All", key: "2" },
    { at: "silences", title: "Silences", key: "3" },
    ...(seesWebhooks ? [{ at: "webhooks", title: "Webhooks", key: "4" }] : []),
  ];
  const at = views.find((each) => each.at === (path[1] ?? "")) ?? views[0]!;
  const to = (view: string) => href(view ? `alerts/${view}` : "alerts");
  useTitle("Alerts");
  useShortcuts("Views", views.map((each) => ({ key: each.key, label: each.title, run: () => go(to(each.at)) })));
  return (
    <div className="page">
      <header>
        <h1>Alerts</h1>
        <nav className="drift-tabs" aria-label="Views">
          {views.map((each) => (
            <a key={each.at} href={to(each.at)} aria-current={each === at ? "page" : undefined}>
              {each.title} <Kbd>{each.key}</Kbd>
            </a>
          ))}
        </nav>
      </header>
      <Suspense fallback={<Loading lines={8} />}>
        {(at.at === "" || at.at === "all") && <List key={at.at} onlyOpen={at.at === ""} />}
        {at.at === "silences" && <Silences />}
        {at.at === "webhooks" && <Webhooks />}
      </Suspense>
    </div>
  );
}
