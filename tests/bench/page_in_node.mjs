// Runs the browsers' page.js in node, from the folder named on the command line; prints the result that it sends.
import {readFile} from 'node:fs/promises';
import {pathToFileURL} from 'node:url';

const folder = process.argv[2];
const page = pathToFileURL(`${folder}/page.js`).href;
const elements = {state: {}, bar: {}};
globalThis.document = {hidden: false, getElementById: (id) => elements[id] ?? null, addEventListener() {}};
globalThis.location = {href: page};
globalThis.navigator ??= {userAgent: 'node', platform: 'node', hardwareConcurrency: 1};
globalThis.fetch = async (name, options) => {
  if (name === 'result') console.log(options.body);
  if (name === 'failed') throw new Error(options.body);
  if (options) return new Response('');
  return new Response(await readFile(`${folder}/${name}`));
};
await import(page);
