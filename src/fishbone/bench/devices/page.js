// The device agent for browsers: the same steps and the same JSON as fishbone/bench/agent.py, on one WebAssembly thread.
// Opened from disk, the page holds all files itself.
const inside = JSON.parse(document.getElementById('files')?.textContent ?? 'null');
const runtime = inside ? URL.createObjectURL(new Blob([await bytes('ort.mjs')], {type: 'text/javascript'})) : './ort.mjs';
const began = performance.now();
const ort = await import(runtime);
const importNs = nanoseconds(performance.now() - began);
const WARM_UP_RUNS = 10, WINDOW_SECONDS = 10, MAX_REPEATS = 256, FINE_STEPS = 200; // a run of fewer steps of the clock is not timed alone

ort.env.wasm.numThreads = 1;
if (inside) ort.env.wasm.wasmBinary = await bytes('ort.wasm');
else ort.env.wasm.wasmPaths = {wasm: new URL('./ort.wasm', location.href).href};
ort.env.logLevel = 'fatal';

let hidden = document.hidden; // a page in the background is throttled: its rounds do not count
document.addEventListener('visibilitychange', () => { hidden = hidden || document.hidden; });

function nanoseconds(milliseconds) {
  return Math.max(0, Math.round(milliseconds * 1e6));
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

// mulberry32: the order of turns has to be the same for the same seed
function shuffler(seed) {
  let state = seed >>> 0;
  const random = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return (items) => {
    for (let i = items.length - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [items[i], items[j]] = [items[j], items[i]];
    }
    return items;
  };
}

// Smallest step of the clock: browsers make it coarse where the page is not isolated.
function clockStep() {
  let smallest = Infinity;
  for (let i = 0; i < 50; i++) {
    const start = performance.now();
    let now = start;
    while (now === start) now = performance.now();
    smallest = Math.min(smallest, now - start);
  }
  return smallest;
}

async function say(text, done) {
  document.getElementById('state').textContent = text;
  if (done !== undefined) document.getElementById('bar').value = done;
  if (!inside) await fetch('progress', {method: 'POST', body: text}).catch(() => {});
}

async function bytes(name) {
  const answer = await fetch(inside ? `data:application/octet-stream;base64,${inside[name]}` : name);
  if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
  const unpacked = inside ? new Response(answer.body.pipeThrough(new DecompressionStream('gzip'))) : answer;
  return new Uint8Array(await unpacked.arrayBuffer());
}

async function checkHash(model, content) {
  if (!globalThis.crypto?.subtle) return; // only there on secure pages
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', content));
  const found = [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  if (found !== model.sha256) throw new Error('the file is not the one that was sent; it may have been cut short');
}

const ARRAYS = {float32: Float32Array, uint8: Uint8Array, int32: Int32Array};
async function array(task, name) {
  const {shape, type} = task.arrays[name];
  if (!ARRAYS[type]) throw new Error(`${type} arrays are not for browsers`);
  const raw = await bytes(name);
  return {shape, type, data: new ARRAYS[type](raw.buffer)};
}

const open = (content) =>
  ort.InferenceSession.create(content, {executionProviders: ['wasm'], graphOptimizationLevel: 'all'});

async function outputs(session, output, input, start, count) {
  const size = input.data.length / input.shape[0];
  const data = input.data.subarray(start * size, (start + count) * size);
  const feed = {[session.inputNames[0]]: new ort.Tensor(input.type, data, [count, ...input.shape.slice(1)])};
  const found = await session.run(feed);
  const {data: values} = found[output];
  return values instanceof BigInt64Array ? Float64Array.from(values, Number) : values;
}

// All rows, a batch at a time; what is over at the end is left out, as the task's arrays fill whole batches.
async function allOutputs(session, output, input, batch) {
  const rows = [];
  for (let start = 0; start + batch <= input.shape[0]; start += batch) {
    const flat = await outputs(session, output, input, start, batch);
    const width = flat.length / batch;
    for (let i = 0; i < batch; i++) rows.push(flat.slice(i * width, (i + 1) * width));
  }
  return rows;
}

function best(row) {
  let place = 0;
  for (let i = 1; i < row.length; i++) if (row[i] > row[place]) place = i;
  return place;
}

async function parity(session, output, inputs, expected, batch) {
  const found = await allOutputs(session, output, inputs, batch);
  const width = expected.data.length / expected.shape[0];
  let worst = 0, scale = 0, same = 0;
  found.forEach((row, i) => {
    const reference = expected.data.subarray(i * width, (i + 1) * width);
    for (let j = 0; j < width; j++) {
      worst = Math.max(worst, Math.abs(row[j] - reference[j]));
      scale = Math.max(scale, Math.abs(reference[j]));
      if (!Number.isFinite(row[j] - reference[j])) throw new Error('outputs are not finite');
    }
    same += best(row) === best(reference);
  });
  const relative = worst / Math.max(scale, 1e-37);
  return {inputs: found.length, max_abs: worst, relative, agreement: same / found.length};
}

// uint8 (N, H, W, C) to what the graph takes: raw bytes, or (pixel / 255 - mean) / std by channel, (N, C, H, W).
function prepared(images, {mean, std}, type) {
  const [count, height, width, channels] = images.shape;
  const data = new ARRAYS[type](images.data.length);
  for (let n = 0, from = 0; n < count; n++)
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++)
        for (let c = 0; c < channels; c++, from++) {
          const value = images.data[from];
          const to = ((n * channels + c) * height + y) * width + x;
          data[to] = type === 'uint8' ? value : (value / 255 - mean[c]) / std[c];
        }
  return {shape: [count, channels, height, width], type, data};
}

async function accuracy(session, model, images, labels, feed) {
  const batch = feed.shape[0], size = images.data.length / images.shape[0];
  let correct = 0, unanswered = 0;
  for (let start = 0; start < images.shape[0]; start += batch) {
    const count = Math.min(batch, images.shape[0] - start);
    const full = new Uint8Array(batch * size);
    full.set(images.data.subarray(start * size, (start + count) * size));
    const input = prepared({shape: [batch, ...images.shape.slice(1)], data: full}, model, feed.type);
    const rows = await allOutputs(session, model.output, input, batch);
    for (let i = 0; i < count; i++) {
      const scores = model.answer === 'scores', answer = scores ? best(rows[i]) : rows[i][0];
      const given = scores ? rows[i].every(Number.isFinite) : answer >= 0 && answer < model.classes;
      correct += given && answer === labels.data[start + i];
      unanswered += !given;
    }
  }
  return {correct, images: images.shape[0], unanswered};
}

function failed(record, error, status = 'unsupported') {
  const text = String(error?.message ?? error);
  const starved = /bad_alloc|out of memory|Out of memory|allocation|memory access/.test(text);
  record.status = starved ? 'oom' : status;
  record.message = text.replace(/(?:[A-Za-z]:|https?:\/)?(?:[/\\][\w.+@~:-]+)+[/\\]/g, '').slice(0, 500);
}

async function checkModel(task, index, record, content, images, labels, cold) {
  const model = task.models[index];
  if (!task.arrays[`${model.vectors}.feed.bin`]) throw new Error('the host could not run it, so it sent no inputs');
  const feed = await array(task, `${model.vectors}.feed.bin`);
  let start = performance.now();
  const session = await open(content);
  const load = performance.now() - start;
  start = performance.now();
  await outputs(session, model.output, feed, 0, feed.shape[0]);
  const first = performance.now() - start;
  if (cold)
    record.cold.push({
      import_ns: importNs, load_ns: nanoseconds(load), first_run_ns: nanoseconds(first),
      import_rss_bytes: null, peak_rss_bytes: null,
    });
  const inputs = await array(task, `${model.vectors}.inputs.bin`);
  const expected = await array(task, `${model.vectors}.outputs.bin`);
  record.parity = await parity(session, model.output, inputs, expected, feed.shape[0]);
  if (images && model.answer) record.accuracy = await accuracy(session, model, images, labels, feed);
  await session.release();
  return feed;
}

async function timedBlock({session, output, feed, repeats, fine}) {
  const run = () => outputs(session, output, feed, 0, feed.shape[0]);
  await run(); // refills the caches
  const took = [], start = performance.now();
  for (let i = 0; i < repeats; i++) {
    const before = performance.now();
    await run();
    took.push(nanoseconds(performance.now() - before));
  }
  return fine ? took : [nanoseconds((performance.now() - start) / repeats)];
}

// How many runs fill a block, and whether the clock is fine enough for single runs or only for a block's mean.
async function warmUp(session, output, feed, task, step) {
  const took = [], until = performance.now() + (1000 * task.warmup_seconds) / task.sittings;
  while (took.length < WARM_UP_RUNS || performance.now() < until) {
    const before = performance.now();
    await outputs(session, output, feed, 0, feed.shape[0]);
    took.push(performance.now() - before);
  }
  const typical = Math.max(median(took.slice(took.length >> 1)), step / 2);
  const fine = typical >= FINE_STEPS * step;
  const filled = fine ? task.block_ms : Math.max(task.block_ms, FINE_STEPS * step);
  return {repeats: Math.max(1, Math.min(MAX_REPEATS, Math.round(filled / typical))), fine};
}

async function warmRounds(task, kept, contents, feeds, deadline, step) {
  const shuffle = shuffler(task.seed);
  for (let sitting = 0; sitting < task.sittings; sitting++) {
    const present = shuffle([...kept.keys()].filter((key) => kept.get(key).status === 'ok'));
    if (!present.length) return true;
    if (performance.now() > deadline) return false;
    await say(`Round ${sitting + 1} of ${task.sittings}`, (sitting + 1) / task.sittings);
    const ready = new Map();
    for (const key of present) {
      const index = key === 'control' ? task.baseline : key;
      try {
        const session = await open(contents[index]);
        const {output} = task.models[index], feed = feeds[index];
        ready.set(key, {session, output, feed, ...(await warmUp(session, output, feed, task, step))});
        kept.get(key).blocks_ns.push([]);
      } catch (error) {
        failed(kept.get(key), error);
      }
    }
    const until = performance.now() + (1000 * task.seconds * ready.size) / task.sittings;
    for (let round = 0; round === 0 || performance.now() < Math.min(until, deadline); round++) {
      hidden = document.hidden;
      const blocks = new Map();
      for (const key of shuffle([...ready.keys()])) {
        blocks.set(key, await timedBlock(ready.get(key)));
      }
      if (!hidden) for (const [key, block] of blocks) kept.get(key).blocks_ns.at(-1).push(block);
    }
    for (const {session} of ready.values()) await session.release();
  }
  return performance.now() < deadline;
}

// The baseline alone without rest: a warm phone may slow down.
async function sustained(task, content, feed, deadline, step) {
  const windows = [], count = Math.max(2, Math.round(task.sustained_seconds / WINDOW_SECONDS));
  if (!task.sustained_seconds || !content || !feed) return [windows, true];
  const session = await open(content), {output} = task.models[task.baseline];
  const ready = {session, output, feed, ...(await warmUp(session, output, feed, task, step))};
  for (let i = 0; i < count; i++) {
    await say(`Without rest, ${i + 1} of ${count}`, (i + 1) / count);
    const took = [], until = Math.min(deadline, performance.now() + (1000 * task.sustained_seconds) / count);
    while (!took.length || performance.now() < until) took.push(...(await timedBlock(ready)));
    windows.push({
      runs: took.length, median_ns: median(took), throttle_events: null, celsius: null, megahertz: null,
    });
    if (performance.now() > deadline) return [windows, false];
  }
  await session.release();
  return [windows, true];
}

async function measure(task) {
  const deadline = performance.now() + 1000 * task.budget_seconds;
  const step = clockStep();
  const records = task.models.map(({name}) => ({
    name, status: 'ok', message: null, cold: [], parity: null, accuracy: null, blocks_ns: [], operators: null,
  }));
  const images = task.images && (await array(task, 'images.bin'));
  const labels = task.images && (await array(task, 'labels.bin'));
  const contents = [], feeds = [], kept = new Map();
  let finished = true;
  for (const [index, model] of task.models.entries()) {
    const record = records[index];
    if (model.runtime !== 'onnxruntime') {
      Object.assign(record, {status: 'skipped', message: 'the sparse runtime is not for browsers'});
      continue;
    }
    if (performance.now() > deadline) {
      finished = false;
      continue;
    }
    await say(`Outputs of ${model.name}`, index / task.models.length);
    try {
      contents[index] = await bytes(model.file);
      await checkHash(model, contents[index]).catch((error) => {
        failed(record, error, 'hash_mismatch');
      });
      if (record.status !== 'ok') continue;
      feeds[index] = await checkModel(task, index, record, contents[index], images, labels, task.cold_runs > 0);
      kept.set(index, record);
    } catch (error) {
      failed(record, error);
    }
  }
  const control = {name: 'baseline again', status: 'ok', blocks_ns: []};
  if (kept.has(task.baseline)) kept.set('control', control);
  const start = performance.now();
  finished = (await warmRounds(task, kept, contents, feeds, deadline, step)) && finished;
  const seconds = (performance.now() - start) / 1000;
  const [windows, whole] = await sustained(task, contents[task.baseline], feeds[task.baseline], deadline, step);
  return {
    schema_version: 1,
    agent_sha256: task.agent_sha256,
    complete: finished && whole,
    environment: {
      python: null, numpy: null, onnxruntime: `web ${ort.env.versions.web}`, providers: ['wasm'], system: 'browser',
      kernel: null, machine: navigator.userAgentData?.platform || navigator.platform || 'unknown', cpu: null,
      cpu_flags: [], cores: navigator.hardwareConcurrency || null, cores_used: 1, governor: null,
      memory_bytes: navigator.deviceMemory ? Math.round(navigator.deviceMemory * 2 ** 30) : null,
      memory_limit_bytes: null, browser: navigator.userAgent,
    },
    session: {graphOptimizationLevel: 'all', clock_step_ns: String(nanoseconds(step))},
    contention: {
      seconds, wall_over_cpu: null, steal_fraction: null, cpu_pressure: null,
      involuntary_switches: null, load_before: null, load_after: null,
    },
    control_blocks_ns: control.blocks_ns,
    sustained: windows,
    models: records,
  };
}

async function send(task, measurement) {
  if (!inside) {
    await fetch('result', {method: 'POST', body: JSON.stringify(measurement)});
    return 'Done. The result has been sent; this page can be closed.';
  }
  const link = document.getElementById('save');
  const text = JSON.stringify({task_sha256: task.task_sha256, measurement});
  link.href = URL.createObjectURL(new Blob([text], {type: 'application/json'}));
  link.hidden = false;
  return 'Done. Save the result and bring it to the computer that made this page.';
}

try {
  const task = JSON.parse(new TextDecoder().decode(await bytes('task.json')));
  const told = await send(task, await measure(task));
  document.getElementById('bar').value = 1;
  document.getElementById('state').textContent = told;
} catch (error) {
  document.getElementById('state').textContent = `This did not work: ${error?.message ?? error}`;
  if (!inside) await fetch('failed', {method: 'POST', body: String(error?.message ?? error)});
}
