package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/oasdiff/yaml"
)

// instruction is one line of a Dockerfile, continuation lines joined.
type instruction struct{ word, rest string }

func dockerfile(t *testing.T) []instruction {
	t.Helper()
	src, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	var out []instruction
	for line := range strings.SplitSeq(strings.ReplaceAll(string(src), "\\\n", " "), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		out = append(out, instruction{word, strings.TrimSpace(rest)})
	}
	return out
}

// Everything that the Dockerfile names is there: files to copy, settings, commands.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	known := settingNames()
	stages := map[string]bool{}
	last := map[string]string{} // of the last stage
	for _, i := range dockerfile(t) {
		switch i.word {
		case "FROM":
			last = map[string]string{}
			if _, name, ok := strings.Cut(i.rest, " AS "); ok {
				stages[name] = true
			}
		case "COPY":
			checkCopy(t, i.rest, stages)
		case "ENV":
			for pair := range strings.FieldsSeq(i.rest) {
				name, value, _ := strings.Cut(pair, "=")
				if name != "CGO_ENABLED" && !known[name] {
					t.Errorf("ENV %s is no setting of ours", name)
				}
				last["ENV "+name] = value
			}
		case "RUN":
			if m := regexp.MustCompile(`go run (\./\S+)`).FindStringSubmatch(i.rest); m != nil {
				if _, err := os.Stat(m[1]); err != nil {
					t.Errorf("RUN %s: %v", i.rest, err)
				}
			}
		}
		last[i.word] = i.rest
	}
	checkRunStage(t, last)
}

func checkRunStage(t *testing.T, last map[string]string) {
	t.Helper()
	if user := last["USER"]; user == "" || strings.HasPrefix(user, "0") || strings.HasPrefix(user, "root") {
		t.Errorf("the image runs as %q", user)
	}
	if last["VOLUME"] != last["ENV DATA_DIR"] {
		t.Errorf("VOLUME %s, but DATA_DIR=%s", last["VOLUME"], last["ENV DATA_DIR"])
	}
	_, port, _ := strings.Cut(defaultOf("LISTEN"), ":")
	if last["EXPOSE"] != port {
		t.Errorf("EXPOSE %s, but LISTEN is %s", last["EXPOSE"], defaultOf("LISTEN"))
	}
	var entry, check, cmd []string
	_, check1, _ := strings.Cut(last["HEALTHCHECK"], "CMD ")
	for text, into := range map[string]*[]string{last["ENTRYPOINT"]: &entry, check1: &check, last["CMD"]: &cmd} {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			t.Fatalf("%q is not in exec form: the image has no shell", text)
		}
	}
	if len(check) != 2 || check[0] != entry[0] || !isCommand(check[1]) || len(cmd) != 1 || !isCommand(cmd[0]) {
		t.Errorf("ENTRYPOINT %v, CMD %v, HEALTHCHECK %v", entry, cmd, check)
	}
}

func checkCopy(t *testing.T, rest string, stages map[string]bool) {
	t.Helper()
	words := strings.Fields(rest)
	for len(words) > 0 && strings.HasPrefix(words[0], "--") {
		if from, ok := strings.CutPrefix(words[0], "--from="); ok && !stages[from] {
			t.Errorf("COPY from a stage %q that is not there", from)
		} else if ok {
			return // its files are another stage's
		}
		words = words[1:]
	}
	for _, w := range words[:len(words)-1] {
		if _, err := os.Stat(w); err != nil {
			t.Errorf("COPY %s: %v", rest, err)
		}
	}
}

func isCommand(name string) bool {
	for _, c := range commands() {
		if c.name == name {
			return true
		}
	}
	return false
}

func settingNames() map[string]bool {
	out := map[string]bool{}
	for _, o := range options() {
		out[o.name] = true
		if o.secret {
			out[o.name+"_FILE"] = true
		}
	}
	return out
}

func defaultOf(name string) string {
	for _, o := range options() {
		if o.name == name {
			return o.def
		}
	}
	return ""
}

// The compose file's processes start with the settings it gives them.
func TestComposeFile(t *testing.T) {
	t.Parallel()
	src, err := os.ReadFile("compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]struct {
			Build       string            `json:"build"`
			Environment map[string]string `json:"environment"`
			Secrets     []string          `json:"secrets"`
			Ports       []string          `json:"ports"`
			Volumes     []string          `json:"volumes"`
			Healthcheck struct{ Test []string }
		} `json:"services"`
		Volumes map[string]any                   `json:"volumes"`
		Secrets map[string]struct{ File string } `json:"secrets"`
	}
	if _, err := yaml.Unmarshal(src, &file, yaml.DecodeOpts{}); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "secret.key")
	if err := os.WriteFile(key, []byte(testKey()), 0o600); err != nil {
		t.Fatal(err)
	}
	roles := map[string]bool{}
	known := settingNames()
	for name, s := range file.Services {
		if s.Build == "" {
			continue // not ours
		}
		pairs := map[string]string{}
		for k, v := range s.Environment {
			if !known[k] {
				t.Errorf("%s: %s is no setting of ours", name, k)
			}
			pairs[k] = composeDefault(v)
		}
		if pairs["SECRET_KEY_FILE"] != "/run/secrets/"+s.Secrets[0] || file.Secrets[s.Secrets[0]].File == "" {
			t.Errorf("%s reads its key from %s, secrets %v", name, pairs["SECRET_KEY_FILE"], s.Secrets)
		}
		pairs["SECRET_KEY_FILE"] = key
		cfg, err := loadConfig(env(pairs))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		roles[string(cfg.Role)] = true
	}
	if !roles["all"] || !roles["worker"] {
		t.Errorf("roles %v", roles)
	}
	db := file.Services["db"]
	if len(db.Volumes) == 0 || len(db.Healthcheck.Test) == 0 || len(file.Volumes) == 0 {
		t.Error("the database has no volume or no health check")
	}
	// Readable for the container's user also where the umask is 077.
	secret := strings.TrimPrefix(file.Secrets["secret_key"].File, "./")
	if !strings.Contains(string(src), "openssl rand -base64 32 > "+secret+" && chmod 644 "+secret) {
		t.Error("the one-liner in the comment does not make the secret file")
	}
}

// composeDefault resolves ${NAME:-default} as compose does without the variable.
func composeDefault(v string) string {
	return regexp.MustCompile(`\$\{\w+:-([^}]*)\}`).ReplaceAllString(v, "$1")
}
