/* The C functions that TensorRT's Python binding links against. None does anything: the binding can
 * be imported and looked at, and every object that it would make is absent. */
#define ABSENT(name) void *name(void) { return 0; }
ABSENT(createInferBuilder_INTERNAL) ABSENT(createInferRefitter_INTERNAL)
ABSENT(createInferRuntime_INTERNAL) ABSENT(createNvOnnxParserRefitter_INTERNAL)
ABSENT(createNvOnnxParser_INTERNAL) ABSENT(getBuilderPluginRegistry) ABSENT(getPluginRegistry)
ABSENT(initLibNvInferPlugins)
int getNvOnnxParserVersion(void) { return 0; }
