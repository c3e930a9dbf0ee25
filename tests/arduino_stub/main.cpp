#include <Arduino.h>

Console Serial;

int main() {
    setup();
    for (;;)
        loop();
}
