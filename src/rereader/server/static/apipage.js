/** What programs can ask of the server: the operations of its OpenAPI document. */

import { openapi } from "./api.js";
import { el, fill, folded } from "./dom.js";

const EXAMPLE = 'curl -H "Authorization: Bearer $REREADER_TOKEN" http://127.0.0.1:8765/api/runs';

function schemaWords(schema, all) {
  if (!schema) return "";
  const name = schema.$ref?.split("/").at(-1);
  if (name) return name;
  if (schema.additionalProperties) return `object of ${schemaWords(schema.additionalProperties, all)}`;
  const any = schema.anyOf?.map((one) => schemaWords(one, all)).join(" or ");
  const bounds = [
    schema.minimum !== undefined && `at least ${schema.minimum}`,
    schema.maximum <= Number.MAX_SAFE_INTEGER && `at most ${schema.maximum}`,
  ];
  const items = schema.items ? ` of ${schemaWords(schema.items, all)}` : "";
  return [any ?? `${schema.type ?? "anything"}${items}`, ...bounds].filter(Boolean).join(", ");
}

function fieldRows(rows) {
  const head = el("tr", {}, ["Name", "Where", "Type", ""].map((title) => el("th", { scope: "col" }, title)));
  const body = rows.map(
    ({ name, where, type, words }) => el(
      "tr",
      {},
      el("td.mono", {}, name),
      el("td", {}, where),
      el("td", {}, type),
      el("td", {}, words),
    ),
  );
  return el("div.wide", {}, el("table", {}, el("thead", {}, head), el("tbody", {}, body)));
}

function bodyRows(operation, schemas) {
  const schema = operation.requestBody?.content?.["application/json"]?.schema;
  if (!schema) return [];
  const found = schemas[schema.$ref?.split("/").at(-1)] ?? schema;
  const required = new Set(found.required ?? []);
  return Object.entries(found.properties ?? {}).map(([name, one]) => ({
    name,
    where: required.has(name) ? "body, required" : "body",
    type: schemaWords(one, schemas),
    words: one.description ?? "",
  }));
}

/** What an operation answers with: the kind, and the fields of the shape that it is, or is a list of. */
function answerPart(operation, schemas) {
  const content = (operation.responses["200"] ?? operation.responses["202"])?.content ?? {};
  const schema = content["application/json"]?.schema;
  const kind = schema ? schemaWords(schema, schemas) : Object.keys(content).join(" or ");
  const inner = schema?.items ?? schema?.additionalProperties ?? schema;
  const shape = schemas[inner?.$ref?.split("/").at(-1)];
  const fields = Object.entries(shape?.properties ?? {}).map(
    ([name, one]) => [el("code", {}, name), ` ${schemaWords(one, schemas)}`],
  );
  return [
    el("p", {}, "Answers with ", el("code", {}, kind), "."),
    fields.length > 0 && el("ul.fields", {}, fields.map((field) => el("li", {}, field))),
  ];
}

function operationPart([path, method, operation], schemas) {
  const rows = (operation.parameters ?? []).map((one) => ({
    name: one.name,
    where: one.required ? `${one.in}, required` : one.in,
    type: schemaWords(one.schema, schemas),
    words: one.description ?? "",
  }));
  const said = (operation.description ?? operation.summary ?? "").replaceAll("``", "");
  const details = said.split("\n").slice(1).join(" ").trim();
  const all = [...rows, ...bodyRows(operation, schemas)];
  const title = [
    el("b.method", {}, method.toUpperCase()),
    " ",
    el("code", {}, path),
    el("span.small", {}, ` ${said.split("\n")[0]}`),
  ];
  return folded(
    title,
    () => [
      details && el("p", {}, details),
      all.length > 0 ? fieldRows(all) : el("p.small", {}, "It takes no parameters."),
      answerPart(operation, schemas),
    ],
  );
}

/** Show the operations. */
export async function apiView(root) {
  const told = await openapi();
  const operations = Object.entries(told.paths).flatMap(
    ([path, methods]) => Object.entries(methods).map(([method, one]) => [path, method, one]),
  );
  const schemas = told.components?.schemas ?? {};
  const tags = [...new Set(operations.map(([, , one]) => one.tags?.[0] ?? "other"))];
  const group = (tag) => [
    el("h2", {}, tag),
    operations.filter(([, , one]) => (one.tags?.[0] ?? "other") === tag).map((one) => operationPart(one, schemas)),
  ];
  fill(
    root,
    el("h1", {}, "API"),
    el(
      "p",
      {},
      "Programs may ask all that this page shows, as JSON. The whole description: ",
      el("a", { href: "/openapi.json" }, "openapi.json"),
      ".",
    ),
    el(
      "p.small",
      {},
      "The token stands in the address that rereader serve printed; REREADER_TOKEN chooses it before the start.",
    ),
    el("pre.scrolls", { tabindex: "0" }, EXAMPLE),
    el("div.operations", {}, tags.map(group)),
  );
  return { title: "API" };
}
