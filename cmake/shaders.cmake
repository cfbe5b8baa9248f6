# gs_shaders(NAME): the shaders of a module, NAME/shaders/*.comp, in gs_NAME.
function(gs_shaders name)
  if(TARGET gs_${name})
    gs_embed_shaders(gs_${name} ${name} ${name}/shaders)
  endif()
endfunction()

# gs_embed_shaders(TARGET NAME FOLDER): compiles FOLDER/*.comp with glslc when the project is built,
# and embeds them in TARGET: gguf_shard::NAME_shaders::All() lists them by file name (gpu/kernel.h).
function(gs_embed_shaders target name source_folder)
  set(folder ${PROJECT_SOURCE_DIR}/${source_folder})
  set(output ${PROJECT_BINARY_DIR}/shaders/${name})
  file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.comp)
  file(MAKE_DIRECTORY ${output})
  set(arrays "")
  set(table "")
  set(compiled "")
  foreach(source IN LISTS sources)
    get_filename_component(shader ${source} NAME_WE)
    # Debian's optimizer makes invalid code of shaders with cooperative matrices.
    set(optimization -O)
    if(shader MATCHES "^matmul_matrix_")
      set(optimization -O0)
    endif()
    add_custom_command(
      OUTPUT ${output}/${shader}.inc
      COMMAND ${GS_GLSLC} --target-env=vulkan1.2 ${optimization} -Werror -mfmt=num -I ${PROJECT_SOURCE_DIR} -MD
              -MF ${output}/${shader}.d -MT ${output}/${shader}.inc -o ${output}/${shader}.inc
              ${source}
      DEPENDS ${source}
      DEPFILE ${output}/${shader}.d
      COMMENT "Compiling ${source_folder}/${shader}.comp"
      VERBATIM)
    list(APPEND compiled ${output}/${shader}.inc)
    string(APPEND arrays "constexpr uint32_t k_${shader}[] = {\n#include \"${shader}.inc\"\n};\n")
    string(APPEND table "    {\"${shader}\", k_${shader}},\n")
  endforeach()
  if(sources)
    set(list "const gpu::Shader kShaders[] = {\n${table}};")
    set(all "kShaders")
  else()
    set(list "")
    set(all "{}")
  endif()
  file(CONFIGURE OUTPUT ${output}/shaders.cc CONTENT
       "#include <cstdint>\n#include <span>\n\n#include \"gpu/kernel.h\"\n\nnamespace gguf_shard::${name}_shaders {\nnamespace {\n${arrays}${list}\n}  // namespace\nstd::span<const gpu::Shader> All();\nstd::span<const gpu::Shader> All() { return ${all}; }\n}  // namespace gguf_shard::${name}_shaders\n"
       @ONLY)
  set_source_files_properties(${output}/shaders.cc PROPERTIES OBJECT_DEPENDS "${compiled}")
  target_sources(${target} PRIVATE ${output}/shaders.cc)
endfunction()
