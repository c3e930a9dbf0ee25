/* Commands for a home: lights, sockets, music, volume, alarms. A line of text becomes what a device
 * would do, and with a model that has tags, what it is to be done with: a line for each entity.
 * Made for the models `home` and `intent`, whose labels are the intents of HWU64 and SNIPS; with
 * another model, ACTIONS is the table to change. */
#include "answer.h"
#include "board.h"
#include "console.h"
#include "engine.h"

#include <string.h>

#define SURE 0.5f /* less probable commands are not obeyed */
#define MAX_ENTITIES 12

/* The state of the home. */
typedef struct home {
    int light, brightness, socket, coffee, vacuum, volume, music;
} home;

static void light_on(home *h) {
    h->light = 1;
}

static void light_off(home *h) {
    h->light = 0;
}

static int limited(int percent) {
    return percent < 0 ? 0 : percent > 100 ? 100 : percent;
}

static void brighter(home *h) {
    h->light = 1;
    h->brightness = limited(h->brightness + 25);
}

static void dimmer(home *h) {
    h->brightness = limited(h->brightness - 25);
}

static void socket_on(home *h) {
    h->socket = 1;
}

static void socket_off(home *h) {
    h->socket = 0;
}

static void make_coffee(home *h) {
    h->coffee++;
}

static void clean(home *h) {
    h->vacuum = 1;
}

static void louder(home *h) {
    h->volume = limited(h->volume + 10);
}

static void quieter(home *h) {
    h->volume = limited(h->volume - 10);
}

static void mute(home *h) {
    h->volume = 0;
}

static void play(home *h) {
    h->music = 1;
}

static void stop(home *h) {
    h->music = h->vacuum = 0;
}

static const struct {
    const char *label;
    void (*act)(home *h);
} ACTIONS[] = {
    {"iot_hue_lighton", light_on},  {"iot_hue_lightoff", light_off}, {"iot_hue_lightup", brighter},
    {"iot_hue_lightdim", dimmer},   {"iot_wemo_on", socket_on},      {"iot_wemo_off", socket_off},
    {"iot_coffee", make_coffee},    {"iot_cleaning", clean},         {"audio_volume_up", louder},
    {"audio_volume_down", quieter}, {"audio_volume_mute", mute},     {"play_music", play},
    {"play_radio", play},           {"general_commandstop", stop},   {"PlayMusic", play},
};

/* What the home does at a label; 0 if nothing. */
static int act(home *h, const char *label, size_t size) {
    for (size_t i = 0; i < sizeof ACTIONS / sizeof ACTIONS[0]; i++)
        if (strlen(ACTIONS[i].label) == size && memcmp(ACTIONS[i].label, label, size) == 0) {
            ACTIONS[i].act(h);
            return 1;
        }
    return 0;
}

static void print_home(const home *h) {
    const struct {
        const char *name;
        int value;
    } parts[] = {{"light ", h->light},      {" at ", h->brightness},  {", socket ", h->socket},
                 {", coffees ", h->coffee}, {", vacuum ", h->vacuum}, {", volume ", h->volume},
                 {", music ", h->music}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        print(parts[i].name);
        print_number((uint64_t)parts[i].value);
    }
    print("\n");
}

/* "  type: words", a line each */
static void print_entities(const char *line, const eb_entity *entities, uint32_t count) {
    for (uint32_t i = 0; i < count && i < MAX_ENTITIES; i++) {
        print("  ");
        print_bytes(entities[i].type, entities[i].type_size);
        print(": ");
        print_bytes(line + entities[i].begin, entities[i].end - entities[i].begin);
        print("\n");
    }
    if (count > MAX_ENTITIES)
        print("  and more\n");
}

int main(void) {
    static char line[LINE];
    static float logits[MAX_LABELS];
    static eb_entity entities[MAX_ENTITIES];
    const engine e = engine_open();
    home h = {0, 50, 0, 0, 0, 50, 0};
    if (!labels_fit(e.model))
        return 2;
    print("edgebert: tell your home what to do\n");
    for (;;) {
        print("> ");
        const int size = console_line(line, sizeof line, 1);
        if (size == CONSOLE_TOO_LONG)
            print("too long\n");
        if (size <= 0)
            continue;
        const eb_text text = {line, (size_t)size, NULL, 0};
        eb_report report;
        const eb_status status = eb_tag(e.model, &text, e.arena, e.arena_size, logits, NULL,
                                        entities, MAX_ENTITIES, &report);
        if (status != EB_OK) {
            print(eb_status_text(status));
            print("\n");
            continue;
        }
        const answer a = answer_from(logits, eb_model_config(e.model)->num_labels);
        size_t label_size;
        const char *label = eb_model_label(e.model, a.label, &label_size);
        print_bytes(label, label_size);
        print(" ");
        print_fraction(a.probability, 2);
        if (a.probability < SURE) {
            print(": please say it in other words\n");
            continue;
        }
        print(": ");
        if (act(&h, label, label_size))
            print_home(&h);
        else
            print("not mine to do\n");
        print_entities(line, entities, report.num_entities);
    }
}
