/* The model file, used in flash where it lies. */
    .section .rodata.model, "a"
    .balign 16
    .global model_file, model_file_end
model_file:
    .incbin MODEL_FILE
model_file_end:
