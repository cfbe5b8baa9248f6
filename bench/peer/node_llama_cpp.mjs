// Another engine, for bench/stream_bench.sh to compare with: llama.cpp through the node-llama-cpp
// package. Never a dependency: whoever measures installs it, in any folder.
//
//   npm install --ignore-scripts node-llama-cpp
//   NODE_MODULES=FOLDER/node_modules bench/stream_bench.sh ... \
//     --peer "node bench/peer/node_llama_cpp.mjs"
//
//   node node_llama_cpp.mjs MODEL.gguf TOKENS PROMPT_TOKENS
//
// Prints {"tokens_per_second": ..., "prompt_tokens_per_second": ...}: the first when TOKENS > 1, the
// second when PROMPT_TOKENS > 0. The file is mapped, as that engine does by default; THREADS threads
// (default 2). The first token is left out of the rate: it waits for the model to be read.
import path from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";

const [modelPath, tokenText, promptText] = process.argv.slice(2);
const tokens = Number(tokenText);
const promptTokens = Number(promptText);
const threads = Number(process.env.THREADS ?? 2);
const entry = process.env.NODE_MODULES
  ? pathToFileURL(path.join(process.env.NODE_MODULES, "node-llama-cpp/dist/index.js")).href
  : "node-llama-cpp";
const { getLlama, LlamaLogLevel } = await import(entry);

const llama = await getLlama({
  gpu: false,
  build: "never",
  maxThreads: threads,
  logLevel: LlamaLogLevel.disabled,
});
const model = await llama.loadModel({ modelPath, gpuLayers: 0, useMmap: true });
const contextSize = Math.max(512, tokens + promptTokens + 16);
const context = await model.createContext({ contextSize, batchSize: 512, threads });
const rates = {};

// Any tokens do: speed does not depend on which.
const filler = (count) => Array.from({ length: count }, (_, i) => 300 + ((i * 37) % 1000));
const secondsSince = (start) => Number(process.hrtime.bigint() - start) / 1e9;

if (promptTokens > 0) {
  const sequence = context.getSequence();
  await sequence.evaluateWithoutGeneratingNewTokens(filler(8)); // the model is in memory now
  const start = process.hrtime.bigint();
  await sequence.evaluateWithoutGeneratingNewTokens(filler(promptTokens));
  rates.prompt_tokens_per_second = promptTokens / secondsSince(start);
  sequence.dispose();
}
if (tokens > 1) {
  const sequence = context.getSequence();
  let start;
  let made = 0;
  for await (const token of sequence.evaluate(filler(4), { temperature: 0, yieldEogToken: true })) {
    void token;
    if (made++ === 0) start = process.hrtime.bigint();
    if (made > tokens) break;
  }
  rates.tokens_per_second = (made - 1) / secondsSince(start);
  sequence.dispose();
}
console.log(JSON.stringify(rates));
process.exit(0);
