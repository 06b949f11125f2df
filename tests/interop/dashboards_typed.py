#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the dashboards as a TypeScript program that compiles when each of them is what Grafana's own types
(@grafana/schema) say of a dashboard, a time series panel and a query to Prometheus. Usage: dashboards_typed.py > FILE.ts"""
import glob
import json

print("""import type { Dashboard } from "@grafana/schema";
import type { Options, FieldConfig } from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";
import type { PrometheusDataQuery } from "@grafana/schema/dist/esm/raw/composable/prometheus/dataquery/x/PrometheusDataQuery_types.gen";
// JSON has no enums: their values are texts. What a file leaves out of a panel is Grafana's default.
type Text<T> = T extends string ? `${T}` : T extends number | boolean | null | undefined ? T : T extends object ? { [K in keyof T]: Text<T[K]> } : T;
type Part<T> = T extends object ? { [K in keyof T]?: Part<T[K]> } : T;""")
for number, path in enumerate(sorted(glob.glob("monitoring/grafana/dashboards/*.json"))):
    with open(path, encoding="utf-8") as f:
        dashboard = json.load(f)
    print(f"// {path}\nexport const d{number}: Text<Dashboard> = {json.dumps(dashboard, indent=1)};")
    for panel in dashboard["panels"]:
        assert panel["type"] == "timeseries", f"{path}: a panel of another type needs its own types here"
        name = f"d{number}p{panel['id']}"
        print(f"// {panel['title']}")
        print(f"export const {name}o: Part<Text<Options>> = {json.dumps(panel['options'])};")
        print(f"export const {name}f: Part<Text<FieldConfig>> = {json.dumps(panel['fieldConfig']['defaults']['custom'])};")
        print(f"export const {name}q: Text<PrometheusDataQuery>[] = {json.dumps(panel['targets'])};")
