#include "cli/cli.h"

int main(int argc, char** argv) { return gguf_shard::RunCli(argc, argv); }
