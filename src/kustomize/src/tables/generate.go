//go:build ignore

// Writes the tables of this directory from published sources; see README.md for the command.
//
// schema.txt comes from the OpenAPI document of Kubernetes v1.21.2, which is the one that kustomize merges by, and
// fields.txt from kustomize's default transformer configuration.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"

	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/kustomize/kyaml/openapi"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/yaml"
)

type fieldSpec struct {
	Group, Version, Kind, Path string
	Create                     bool
}

type reference struct {
	Group, Version, Kind string
	FieldSpecs           []fieldSpec
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: generate SOURCES-OF-KUSTOMIZE-API OUTPUT-DIRECTORY")
		os.Exit(2)
	}
	write(os.Args[2], "schema.txt", schema())
	write(os.Args[2], "fields.txt", fields(filepath.Join(os.Args[1], "internal/konfig/builtinpluginconsts")))
}

func write(directory, name, text string) {
	if err := os.WriteFile(filepath.Join(directory, name), []byte(text), 0o644); err != nil {
		panic(err)
	}
}

func short(definition string) string {
	definition = strings.TrimPrefix(definition, "#/definitions/")
	for _, prefix := range []string{"io.k8s.api.", "io.k8s.apimachinery.pkg.", "io.k8s.kube-aggregator.pkg.", "io.k8s.apiextensions-apiserver.pkg."} {
		definition = strings.TrimPrefix(definition, prefix)
	}
	return definition
}

// One line for each kind, and one for each type that a merge by key can be reached from.
func schema() string {
	definitions := openapi.Schema().Definitions
	reachable := map[string]bool{}
	for changed := true; changed; {
		changed = false
		for name, definition := range definitions {
			if reachable[name] {
				continue
			}
			for _, property := range definition.Properties {
				if list(property) || reachable[strings.TrimPrefix(target(property), "#/definitions/")] {
					reachable[name], changed = true, true
				}
			}
		}
	}
	var kinds, types []string
	for name, definition := range definitions {
		if list, ok := definition.Extensions["x-kubernetes-group-version-kind"].([]interface{}); ok && len(list) == 1 {
			gvk := list[0].(map[string]interface{})
			version := strings.TrimPrefix(gvk["group"].(string)+"/"+gvk["version"].(string), "/")
			kinds = append(kinds, fmt.Sprintf("kind %s %s %s", version, gvk["kind"], short(name)))
		}
		if !reachable[name] {
			continue
		}
		var parts []string
		for field, property := range definition.Properties {
			to := target(property)
			switch {
			case list(property):
				parts = append(parts, fmt.Sprintf("%s[%s]%s", field, strings.Join(keys(property), ","), short(to)))
			case reachable[strings.TrimPrefix(to, "#/definitions/")] && property.Items == nil:
				parts = append(parts, field+":"+short(to))
			}
		}
		sort.Strings(parts)
		types = append(types, "type "+short(name)+" "+strings.Join(parts, " "))
	}
	sort.Strings(kinds)
	sort.Strings(types)
	return "# Made by generate.go. Do not edit.\n" + strings.Join(append(append(kinds, clusterScoped(definitions)...), types...), "\n") + "\n"
}

// Kinds that are certainly cluster-scoped; a kind that the document does not know may be namespaced.
func clusterScoped(definitions spec.Definitions) []string {
	// Kinds that are newer than the document, and whose scope is known all the same.
	lines := []string{
		"cluster admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy",
		"cluster admissionregistration.k8s.io/v1 ValidatingAdmissionPolicyBinding",
	}
	seen := map[string]bool{}
	for _, definition := range definitions {
		list, _ := definition.Extensions["x-kubernetes-group-version-kind"].([]interface{})
		for _, entry := range list {
			gvk := entry.(map[string]interface{})
			version := strings.TrimPrefix(gvk["group"].(string)+"/"+gvk["version"].(string), "/")
			kind := gvk["kind"].(string)
			line := "cluster " + version + " " + kind
			if !seen[line] && openapi.IsCertainlyClusterScoped(kyaml.TypeMeta{APIVersion: version, Kind: kind}) {
				seen[line] = true
				lines = append(lines, line)
			}
		}
	}
	sort.Strings(lines)
	return lines
}

func target(property spec.Schema) string {
	if property.Items != nil && property.Items.Schema != nil {
		return property.Items.Schema.Ref.String()
	}
	if property.AdditionalProperties != nil && property.AdditionalProperties.Schema != nil {
		return ""
	}
	return property.Ref.String()
}

func list(property spec.Schema) bool {
	strategy, _ := property.Extensions["x-kubernetes-patch-strategy"].(string)
	for _, part := range strings.Split(strategy, ",") {
		if part == "merge" && len(property.Type) == 1 && property.Type[0] == "array" {
			return true
		}
	}
	return false
}

func keys(property spec.Schema) []string {
	var result []string
	if list, ok := property.Extensions["x-kubernetes-list-map-keys"].([]interface{}); ok {
		for _, key := range list {
			result = append(result, key.(string))
		}
	} else if key, ok := property.Extensions["x-kubernetes-patch-merge-key"].(string); ok {
		result = append(result, key)
	}
	return result
}

// The default field specifications: SET GROUP VERSION KIND CREATE PATH, `-` for any; references name their target too.
func fields(directory string) string {
	files, err := filepath.Glob(filepath.Join(directory, "*.go"))
	if err != nil {
		panic(err)
	}
	blocks := map[string]string{}
	constant := regexp.MustCompile("(?s)(\\w+)\\s*=\\s*`([^`]*)`((?:\\s*\\+\\s*\\w+)*)")
	more := map[string][]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			panic(err)
		}
		for _, match := range constant.FindAllStringSubmatch(string(text), -1) {
			blocks[match[1]], more[match[1]] = match[2], strings.FieldsFunc(match[3], func(r rune) bool { return strings.ContainsRune(" +\n\t", r) })
		}
	}
	var lines []string
	// As a configuration file names the set, and as the source does.
	for _, names := range [][2]string{
		{"namePrefix", "namePrefix"}, {"nameSuffix", "nameSuffix"}, {"namespace", "namespace"},
		{"commonLabels", "commonLabel"}, {"templateLabels", "templateLabel"},
		{"volumeClaimTemplateLabels", "volumeClaimTemplateLabel"}, {"commonAnnotations", "commonAnnotation"},
		{"images", "images"}, {"replicas", "replicas"}, {"varReference", "varReference"},
	} {
		set, name := names[0], names[1]+"FieldSpecs"
		text := blocks[name]
		for _, other := range more[name] {
			text += blocks[other]
		}
		var parsed map[string][]fieldSpec
		if err := yaml.Unmarshal([]byte(text), &parsed); err != nil {
			panic(err)
		}
		for _, specs := range parsed {
			for _, spec := range specs {
				lines = append(lines, fmt.Sprintf("%s %s", set, line(spec)))
			}
		}
	}
	var references map[string][]reference
	if err := yaml.Unmarshal([]byte(blocks["nameReferenceFieldSpecs"]), &references); err != nil {
		panic(err)
	}
	for _, reference := range references["nameReference"] {
		for _, spec := range reference.FieldSpecs {
			lines = append(lines, fmt.Sprintf("reference %s %s %s %s", dash(reference.Group), dash(reference.Version), reference.Kind, line(spec)))
		}
	}
	return "# Made by generate.go. Do not edit.\n" + strings.Join(lines, "\n") + "\n"
}

func line(spec fieldSpec) string {
	create := "-"
	if spec.Create {
		create = "create"
	}
	return fmt.Sprintf("%s %s %s %s %s", dash(spec.Group), dash(spec.Version), dash(spec.Kind), create, spec.Path)
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
