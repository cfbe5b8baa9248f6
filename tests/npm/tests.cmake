# A core opens in a GGUF reader that is not ours. Needs Node.js 20, npm and the network; says that it
# was skipped without them.
if(TARGET gguf-shard)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  add_test(NAME npm.core_is_a_gguf_elsewhere
           COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/check.py
                   --program $<TARGET_FILE:gguf-shard>
                   --model ${PROJECT_SOURCE_DIR}/tests/data/tale-Q4_K_M.gguf
                   --folder ${CMAKE_CURRENT_BINARY_DIR}/npm)
  set_tests_properties(npm.core_is_a_gguf_elsewhere PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 300)
endif()
