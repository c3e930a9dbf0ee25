# Reads a linker map: bytes of flash and RAM of each object that was linked, and of the library.
function number(hex,    i, value) {
    for (i = 3; i <= length(hex); i++)
        value = 16 * value + index("0123456789abcdef", substr(hex, i, 1)) - 1
    return value
}
/^Linker script and memory map/ { linked = 1 }
linked && /^ \.[a-zA-Z]/ && NF == 1 { section = $1; next } # a long name has a line of its own
linked && /^ +(\.[a-zA-Z_.0-9]+ +)?0x[0-9a-f]+ +0x[0-9a-f]+ / {
    if ($1 ~ /^\./) { section = $1; size = $3; file = $4 } else { size = $2; file = $3 }
    if (section !~ /^\.(text|rodata|srodata|data|sdata|bss|sbss|vectors)/ || file !~ /\.o/) next
    if (file ~ /libgcc/) file = "libgcc"
    if (match(file, /(csrc|firmware_examples)\/.*/)) file = substr(file, RSTART)
    bytes = number(size)
    if (section ~ /^\.(bss|sbss)/) ram[file] += bytes; else flash[file] += bytes
    if (section ~ /^\.(data|sdata)/) ram[file] += bytes
    if (section ~ /^\.text/) code[file] += bytes
    files[file] = 1
}
END {
    printf "%8s %8s %8s\n", "flash", "of code", "ram"
    for (file in files) {
        if (flash[file] + ram[file] == 0) continue
        printf "%8d %8d %8d  %s\n", flash[file], code[file], ram[file], file | "sort -k4"
        if (file ~ /^csrc/) { library += flash[file]; library_code += code[file]; library_ram += ram[file] }
    }
    close("sort -k4")
    printf "%8d %8d %8d  %s\n", library, library_code, library_ram, "csrc, all of it"
}
