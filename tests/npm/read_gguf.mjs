// node read_gguf.mjs FOLDER FILE: prints what the npm package in FOLDER/node_modules reads from a
// GGUF, as JSON. Integers above 2^53 become text.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, file] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${folder}/package.json`));
const { gguf } = require("@huggingface/gguf");

const { metadata, tensorInfos, tensorDataOffset, littleEndian } = await gguf(file, {
  allowLocalFile: true,
});

function plain(key, value) {
  if (typeof value !== "bigint") return value;
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value.toString();
}
console.log(JSON.stringify({ metadata, tensorInfos, tensorDataOffset, littleEndian }, plain));
