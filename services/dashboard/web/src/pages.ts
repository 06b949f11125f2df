// SPDX-License-Identifier: Apache-2.0
// Every page: where it is, who may open it (as x-roles in docs/api/dashboard.yaml says), and by which key.
import { type ComponentType, type LazyExoticComponent, lazy } from "react";
import type { Role } from "./api";
import type { IconName } from "./icons";

export interface Page {
  path: string;
  title: string;
  icon: IconName;
  /** Nobody named: whoever is logged in. */
  roles: Role[];
  view: LazyExoticComponent<ComponentType>;
  /** Fetches the view, which is otherwise fetched when it is drawn. */
  load: () => Promise<unknown>;
  /** Opened from another page, and not in the navigation. */
  isInner?: boolean;
  /** What the page asks for first: a service that does not have it has no such page. */
  needs?: string;
  /** The key that goes there, after `g`. */
  key?: string;
}

type View = { default: ComponentType };
const from = (load: () => Promise<View>) => ({ load, view: lazy(load) });

const reviewers: Role[] = ["analyst", "lead", "admin", "auditor"];

export const pages: Page[] = [
  {
    path: "queue", title: "Review queue", icon: "queue", roles: reviewers, ...from(() => import("./pages/queue")), key: "q",
    needs: "/v1/cases?limit=1",
  },
  { path: "cases", title: "Case", icon: "queue", roles: reviewers, ...from(() => import("./pages/case")), isInner: true },
  {
    path: "overview", title: "Overview", icon: "overview", roles: [], ...from(() => import("./pages/overview")), key: "o",
    needs: "/v1/overview?minutes=1",
  },
  {
    path: "rules", title: "Rules", icon: "rules", roles: ["rule_author", "publisher", "lead", "analyst", "admin", "auditor"],
    ...from(() => import("./pages/rules")), key: "r", needs: "/v1/rulesets?limit=1",
  },
  {
    path: "models", title: "Models", icon: "models", roles: ["model_owner", "lead", "admin", "auditor"], ...from(() => import("./pages/models")), key: "m",
    needs: "/v1/models?limit=1",
  },
  {
    path: "drift", title: "Drift", icon: "drift", roles: [], ...from(() => import("./pages/drift")), key: "d",
    needs: "/v1/drift?lane=0",
  },
  {
    path: "alerts", title: "Alerts", icon: "alerts", roles: [], ...from(() => import("./pages/alerts")), key: "w",
    needs: "/v1/alerts?limit=1",
  },
  {
    path: "lists", title: "Lists", icon: "lists", roles: ["rule_author", "publisher", "lead", "analyst", "admin", "auditor"],
    ...from(() => import("./pages/lists")), key: "l", needs: "/v1/lists",
  },
  { path: "keys", title: "Keys", icon: "keys", roles: ["admin", "auditor"], ...from(() => import("./pages/keys")), key: "k" },
  {
    path: "settings", title: "Settings", icon: "settings", roles: ["lead", "rule_author", "publisher", "model_owner", "admin", "auditor"],
    ...from(() => import("./pages/settings")), key: "s", needs: "/v1/settings",
  },
  { path: "users", title: "Users", icon: "users", roles: ["admin", "auditor"], ...from(() => import("./pages/users")), key: "u" },
  { path: "audit", title: "Audit trail", icon: "audit", roles: ["admin", "auditor"], ...from(() => import("./pages/audit")), key: "a" },
];

export const mayOpen = (page: Page, roles: Role[]): boolean =>
  page.roles.length === 0 || page.roles.some((role) => roles.includes(role));

/** The page of an address that starts with `path`; without one the page that most come for. */
export const pageAt = (path: string | undefined): Page | undefined => pages.find((page) => page.path === (path ?? pages[0]?.path));
