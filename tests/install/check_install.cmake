# Installs BUILD below PREFIX and looks for what belongs there; the program has to run from there.
file(REMOVE_RECURSE ${PREFIX})
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${PREFIX}
                OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)

set(expected
    bin/gguf-shard
    ${LIBDIR}/cmake/gguf-shard/gguf-shard-config.cmake
    ${LIBDIR}/libgguf_shard_atlas.so
    ${LIBDIR}/pkgconfig/gguf-shard-atlas.pc
    share/bash-completion/completions/gguf-shard
    share/doc/gguf-shard/CHANGELOG.md
    share/doc/gguf-shard/README.md
    share/doc/gguf-shard/copyright
    share/doc/gguf-shard/docs/STATISTICS.md
    share/fish/vendor_completions.d/gguf-shard.fish
    share/gguf-shard/schemas/sgmap.schema.json
    share/man/man1/gguf-shard.1
    share/zsh/site-functions/_gguf-shard)
# Every public header there is.
file(GLOB headers RELATIVE ${SOURCE} ${SOURCE}/include/gguf_shard/*.h)
foreach(path IN LISTS expected headers)
  if(NOT EXISTS ${PREFIX}/${path})
    message(SEND_ERROR "not installed: ${path}")
  endif()
endforeach()

execute_process(COMMAND ${PREFIX}/bin/gguf-shard --version
                OUTPUT_VARIABLE version COMMAND_ERROR_IS_FATAL ANY)
if(NOT version MATCHES "^gguf-shard [0-9]+\\.[0-9]+\\.[0-9]+\n$")
  message(SEND_ERROR "--version of the installed program prints: ${version}")
endif()
