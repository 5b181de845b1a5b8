package demo.consumer;

import org.springframework.cloud.openfeign.FeignClient;
import org.springframework.web.bind.annotation.GetMapping;

@FeignClient("go-sc-a")
public interface GoClient {
  @GetMapping("/A")
  String a();
}
