// Computes, with an engine that is not ours, what the synthetic models must give:
//
//   make_synthetic_models DIR
//   npm install --prefix DIR node-llama-cpp
//   node tests/tools/expectations.mjs DIR tests/data/expected
//
// One file per model, in the shape of tests/data/golden: for each position logsumexp, the
// log-probability of the token that follows, and the best tokens with their log-probabilities.
import fs from "node:fs";
import path from "node:path";
import {createRequire} from "node:module";
import {pathToFileURL} from "node:url";

const kTop = 6;
const [directory, output] = process.argv.slice(2);
if (!directory || !output) {
  console.error("usage: node expectations.mjs DIR OUTPUT_DIR");
  process.exit(2);
}
const modules = createRequire(path.resolve(directory, "package.json"));
const {getLlama} = await import(pathToFileURL(modules.resolve("node-llama-cpp")));
const llama = await getLlama({gpu: false, build: "never", logLevel: "error"});
const tokens = JSON.parse(fs.readFileSync(path.join(directory, "tokens.json"), "utf8"));

function describePosition(logits, nextToken) {
  const entries = [...logits.entries()];
  const largest = Math.max(...entries.map(([, logit]) => logit));
  const sum = entries.reduce((total, [, logit]) => total + Math.exp(logit - largest), 0);
  const logsumexp = largest + Math.log(sum);
  entries.sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  const round = (value) => Number(value.toFixed(6));
  const position = {logsumexp: round(logsumexp)};
  if (nextToken !== undefined) {
    position.next_logprob = round(logits.get(nextToken) - logsumexp);
  }
  position.top = entries.slice(0, kTop).map(([id, logit]) => [id, round(logit - logsumexp)]);
  return position;
}

async function describeModel(file) {
  const model = await llama.loadModel({modelPath: file, gpuLayers: 0});
  const context = await model.createContext({
    contextSize: 256,
    flashAttention: false,
    experimentalKvCacheKeyType: "F32",
    experimentalKvCacheValueType: "F32",
  });
  const sequence = context.getSequence();
  const evaluated = await sequence.controlledEvaluate(
      tokens.map((token) => [token, {generateNext: {logits: true}}]));
  const positions = tokens.map(
      (_, index) => describePosition(evaluated[index].next.logits, tokens[index + 1]));
  await context.dispose();
  await model.dispose();
  const vocab = evaluated[0].next.logits.size;
  return {model: path.basename(file), vocab, kv_cache: "f32", cases: [{tokens, positions}]};
}

for (const name of fs.readdirSync(directory).filter((name) => name.endsWith(".gguf")).sort()) {
  const description = await describeModel(path.resolve(directory, name));
  const target = path.join(output, name.replace(/\.gguf$/, ".json"));
  fs.writeFileSync(target, JSON.stringify(description) + "\n");
  console.log(target);
}
process.exit(0);
