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
  /** Opened from another page, and not in the navigation. */
  isInner?: boolean;
  /** What the page asks for first: a service that does not have it has no such page. */
  needs?: string;
  /** The key that goes there, after `g`. */
  key?: string;
}

const reviewers: Role[] = ["analyst", "lead", "admin", "auditor"];

export const pages: Page[] = [
  {
    path: "queue", title: "Review queue", icon: "queue", roles: reviewers, view: lazy(() => import("./pages/queue")), key: "q",
    needs: "/v1/cases?limit=1",
  },
  { path: "cases", title: "Case", icon: "queue", roles: reviewers, view: lazy(() => import("./pages/case")), isInner: true },
  {
    path: "overview", title: "Overview", icon: "overview", roles: [], view: lazy(() => import("./pages/overview")), key: "o",
    needs: "/v1/overview?minutes=1",
  },
  {
    path: "rules", title: "Rules", icon: "rules", roles: ["rule_author", "publisher", "lead", "analyst", "admin", "auditor"],
    view: lazy(() => import("./pages/rules")), key: "r", needs: "/v1/rulesets?limit=1",
  },
  {
    path: "models", title: "Models", icon: "models", roles: ["model_owner", "lead", "admin", "auditor"], view: lazy(() => import("./pages/models")), key: "m",
    needs: "/v1/models?limit=1",
  },
  {
    path: "drift", title: "Drift", icon: "drift", roles: [], view: lazy(() => import("./pages/drift")), key: "d",
    needs: "/v1/drift?lane=0",
  },
  {
    path: "alerts", title: "Alerts", icon: "alerts", roles: [], view: lazy(() => import("./pages/alerts")), key: "w",
    needs: "/v1/alerts?limit=1",
  },
  {
    path: "lists", title: "Lists", icon: "lists", roles: ["rule_author", "publisher", "lead", "analyst", "admin", "auditor"],
    view: lazy(() => import("./pages/lists")), key: "l", needs: "/v1/lists",
  },
  { path: "keys", title: "Keys", icon: "keys", roles: ["admin", "auditor"], view: lazy(() => import("./pages/keys")), key: "k" },
  {
    path: "settings", title: "Settings", icon: "settings", roles: ["lead", "rule_author", "publisher", "model_owner", "admin", "auditor"],
    view: lazy(() => import("./pages/settings")), key: "s", needs: "/v1/settings",
  },
  { path: "users", title: "Users", icon: "users", roles: ["admin", "auditor"], view: lazy(() => import("./pages/users")), key: "u" },
  { path: "audit", title: "Audit trail", icon: "audit", roles: ["admin", "auditor"], view: lazy(() => import("./pages/audit")), key: "a" },
];

export const mayOpen = (page: Page, roles: Role[]): boolean =>
  page.roles.length === 0 || page.roles.some((role) => roles.includes(role));
