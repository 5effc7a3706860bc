// Analyses KQL with Microsoft's own parser and binder. Run by tools/kql_check.py, which says
// what goes in and what comes out; both are JSON, on stdin and stdout.
import { createRequire } from 'node:module'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'

const PACKAGE = '@kusto/language-service-next'
const request = JSON.parse(readFileSync(0, 'utf8'))
const home = request.modules.map((folder) => path.join(folder, PACKAGE)).find((folder) => existsSync(folder))
if (!home) {
  console.error(`${PACKAGE} is in none of ${request.modules.join(', ')}`)
  process.exit(2)
}
// The package is compiled from C# for browsers: it hangs its classes on the window.
globalThis.window = globalThis
const load = createRequire(import.meta.url)
load(path.join(home, 'bridge.js'))
load(path.join(home, 'Kusto.Language.Bridge.js'))
const { KustoCode, GlobalState, Symbols, Syntax } = Kusto.Language

const SCALARS = { string: 'String', int: 'Int', long: 'Long', real: 'Real', boolean: 'Bool', bool: 'Bool', dynamic: 'Dynamic', datetime: 'DateTime', timespan: 'TimeSpan', guid: 'Guid' }
const NAMES = { bool: 'boolean' }

const scalar = (type) => {
  if (!(type in SCALARS)) throw new Error(`unknown type ${type}`)
  return Symbols.ScalarTypes[SCALARS[type]]
}
const tableSymbol = (name, columns) =>
  new Symbols.TableSymbol.$ctor4(name, Object.entries(columns).map(([column, type]) => new Symbols.ColumnSymbol(column, scalar(type), null, null, null, null)))
const openTable = (name, columns) => tableSymbol(name, columns).WithIsOpen(true)
const functionSymbol = (name, [parameters, body]) => new Symbols.FunctionSymbol.$ctor16(name, `(${parameters})`, `{${body}\n}`, null)
// Azure has functions that the parser's own list lacks.
const lacking = Object.entries(request.lacking).map(([name, [argument, result]]) =>
  new Symbols.FunctionSymbol.$ctor5(name, scalar(result), [new Symbols.Parameter.$ctor2('value', scalar(argument))]))

const workspaces = new Map()
function workspace(query) {
  const key = JSON.stringify([query.tables, query.source, query.openTables, query.functions])
  if (!workspaces.has(key)) workspaces.set(key, makeWorkspace(query))
  return workspaces.get(key)
}

function makeWorkspace(query) {
  const members = Object.entries(query.tables).map(([name, columns]) => tableSymbol(name, { ...request.everyTable, ...columns }))
  members.push(...Object.entries(query.source ?? {}).map(([name, columns]) => tableSymbol(name, columns)))
  members.push(...Object.entries(query.openTables ?? {}).map(([name, columns]) => openTable(name, { ...request.everyTable, ...columns })))
  members.push(...Object.entries(query.functions).map(([name, declared]) => functionSymbol(name, declared)))
  const database = new Symbols.DatabaseSymbol.$ctor3('workspace', null, members, false)
  return GlobalState.Default.WithDatabase(database).AddOrUpdateAmbientSymbols(lacking)
}

const items = (list) => Array.from({ length: list.Count }, (_, index) => list.getItem(index))

function place(text, at) {
  const before = text.slice(0, at).split('\n')
  return { line: before.length, column: before.at(-1).length + 1 }
}

/** Each syntax node that an allow-list of a transform speaks of: operators, functions, literals. */
function* uses(node, text) {
  const kind = System.Enum.toString(Syntax.SyntaxKind, node.Kind)
  const at = place(text, node.TextStart)
  if (kind === 'FunctionCallExpression') yield { use: 'function', name: node.Name.SimpleName, ...at }
  else if (/(Operator|Expression)$/.test(kind)) yield { use: 'syntax', name: kind, ...at }
  if (kind === 'ParseOperator') yield { use: 'parse', name: String(declared(node)), ...at }
  for (let index = 0; index < node.ChildCount; index += 1) {
    const child = node.GetChild(index)
    if (child?.ChildCount !== undefined) yield* uses(child, text)
  }
}

function declared(node) {
  let count = System.Enum.toString(Syntax.SyntaxKind, node.Kind) === 'NameDeclaration' ? 1 : 0
  for (let index = 0; index < node.ChildCount; index += 1) {
    const child = node.GetChild(index)
    if (child?.ChildCount !== undefined) count += declared(child)
  }
  return count
}

function analyse(query) {
  const code = KustoCode.ParseAndAnalyze(query.text, workspace(query))
  const result = code.ResultType
  return {
    name: query.name,
    diagnostics: items(code.GetDiagnostics()).map((found) => ({ severity: found.Severity.toLowerCase(), message: found.Message, ...place(query.text, found.Start) })),
    columns: result?.Columns ? items(result.Columns).map((column) => [column.Name, NAMES[column.Type.Name] ?? column.Type.Name]) : null,
    uses: query.uses ? [...uses(code.Syntax, query.text)] : [],
  }
}

process.stdout.write(JSON.stringify(request.queries.map(analyse)))
