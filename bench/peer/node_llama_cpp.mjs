// The peer of bench/stream_bench.sh: the engine of the npm package node-llama-cpp, on two processors.
//
//   mkdir peer && cd peer && npm install node-llama-cpp && cp BENCH/peer/node_llama_cpp.mjs .
//   bench/stream_bench.sh BUILD_DIR WORK_DIR --peer "node peer/node_llama_cpp.mjs"
//
// Arguments: MODEL.gguf TOKENS PROMPT_TOKENS. Prints {"tokens_per_second": ..., "prompt_tokens_per_second": ...}
// of greedy decoding after a short prompt, and of a prompt of so many tokens when that is above 0. The model is
// mapped, as the engine does by default. Measured only: the project never depends on it.
import os from "node:os";
import process from "node:process";
import { getLlama, LlamaLogLevel } from "node-llama-cpp";

const [model_path, token_text, prompt_text] = process.argv.slice(2);
const token_count = Number(token_text);
const prompt_count = Number(prompt_text ?? 0);
const threads = os.availableParallelism();

const llama = await getLlama({ gpu: false, build: "never", logLevel: LlamaLogLevel.error, maxThreads: threads });
const model = await llama.loadModel({ modelPath: model_path, useMmap: true, gpuLayers: 0 });
const context = await model.createContext({
  contextSize: Math.max(512, prompt_count + token_count + 16), batchSize: 512, sequences: 1, threads,
});
const sequence = context.getSequence();
const words = model.tokenize("the dog and a cat saw that all of it was not in his old red house but on her big hat ");
const seconds = () => Number(process.hrtime.bigint()) / 1e9;

const rates = {};
if (prompt_count > 0) {
  const prompt = Array.from({ length: prompt_count }, (_, i) => words[i % words.length]);
  await sequence.evaluateWithoutGeneratingNewTokens(words.slice(0, 4));  // pages in, threads awake
  await sequence.clearHistory();
  const start = seconds();
  await sequence.evaluateWithoutGeneratingNewTokens(prompt);
  rates.prompt_tokens_per_second = prompt_count / (seconds() - start);
  await sequence.clearHistory();
}
let generated = 0;
let start = 0;
for await (const _ of sequence.evaluate(model.tokenize("Once upon a time"), { temperature: 0, yieldEogToken: true })) {
  if (generated === 0) start = seconds();  // the first token comes with the prompt
  if (++generated > token_count) break;
}
rates.tokens_per_second = (generated - 1) / (seconds() - start);
console.log(JSON.stringify(rates));
process.exit(0);
