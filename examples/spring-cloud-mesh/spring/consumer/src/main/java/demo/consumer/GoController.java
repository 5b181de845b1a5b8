package demo.consumer;

import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.client.RestTemplate;

@RestController
public class GoController {
  private final RestTemplate restTemplate;
  private final GoClient goClient;

  public GoController(RestTemplate restTemplate, GoClient goClient) {
    this.restTemplate = restTemplate;
    this.goClient = goClient;
  }

  @GetMapping("/go")
  public String go() {
    return "[Java Spring Cloud] -> " + restTemplate.getForObject("http://go-sc-a/A", String.class);
  }

  @GetMapping("/feign")
  public String feign() {
    return "[Java Spring Cloud] -> " + goClient.a();
  }

  /** Calls any service by its name. */
  @GetMapping("/call/{service}")
  public String call(@PathVariable String service) {
    return "[Java Spring Cloud] -> " + restTemplate.getForObject("http://" + service + "/A", String.class);
  }
}
