# The installed C library, as its users find it: the example is built by pkg-config and by find_package,
# and runs on a core that the installed program made. After check_install.cmake, with its PREFIX.
set(library ${PREFIX}/${LIBDIR})
set(work ${PREFIX}.library)
file(REMOVE_RECURSE ${work})
file(MAKE_DIRECTORY ${work})
set(flags "")
if(SANITIZE)
  set(flags -fsanitize=${SANITIZE})
endif()

set(ENV{PKG_CONFIG_PATH} ${library}/pkgconfig)
execute_process(COMMAND ${PKG_CONFIG} --cflags --libs gguf-shard-atlas OUTPUT_VARIABLE found
                OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
separate_arguments(found UNIX_COMMAND "${found}")
execute_process(COMMAND ${CC} -std=c11 -Wall -Werror ${flags} -o ${work}/by_pkg_config
                        ${SOURCE}/examples/atlas.c ${found}
                COMMAND_ERROR_IS_FATAL ANY)

execute_process(COMMAND ${CMAKE_COMMAND} -S ${SOURCE}/tests/install/consumer -B ${work}/build
                        -DCMAKE_PREFIX_PATH=${PREFIX} -DCMAKE_C_COMPILER=${CC}
                        -DCMAKE_C_FLAGS=${flags} -DEXAMPLE=${SOURCE}/examples/atlas.c
                OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${work}/build OUTPUT_QUIET
                COMMAND_ERROR_IS_FATAL ANY)

execute_process(COMMAND ${PREFIX}/bin/gguf-shard shard -q ${SOURCE}/tests/data/tale-Q4_K_M.gguf
                        -o ${work}/core
                OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
set(ENV{LD_LIBRARY_PATH} ${library})
foreach(program ${work}/by_pkg_config ${work}/build/consumer)
  execute_process(COMMAND ${program} ${work}/core host 4000000 OUTPUT_VARIABLE said
                  COMMAND_ERROR_IS_FATAL ANY)
  if(NOT said MATCHES "^shard 0 of token_embd.weight: [0-9]+ pages")
    message(SEND_ERROR "${program} printed: ${said}")
  endif()
endforeach()
